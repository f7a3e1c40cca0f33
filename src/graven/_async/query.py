"""``AsyncQuery``: a question to the store, answered as if the pending changes had been written."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence

from graven._common.arriving import objects_of
from graven._common.including import stranger, with_includes
from graven._common.linking import link, loads_for
from graven._common.locking import (
    changed_of,
    check_locked,
    left_out_of,
    lock_word,
    members_select,
    no_statement_lock,
)
from graven._common.overlay import (
    Overlay,
    all_paths,
    doubtful_condition,
    order_paths,
    unloaded_steps,
)
from graven._common.raw import check_alone, documents_of, rows_in_order
from graven._hints import TYPE_CHECKING, Any, Generic, TypeVar
from graven.core.conflicts import LostRace
from graven.core.evaluate import paths_in
from graven.core.following import reached
from graven.core.pausing import pausing_collector
from graven.core.query import Include, QuerySpec
from graven.errors import MultipleFoundError, NotFoundError, QueryError
from graven.flows.load import fetch
from graven.flows.paging import close_pages, next_page, open_pages
from graven.models.expressions import asc
from graven.ops.conditions import And, Condition, In, Or, Order, Path, Select, Truth
from graven.ops.requests import Execute, Flow

if TYPE_CHECKING:
    from graven._async.session import AsyncSession
    from graven.ops.requests import Documents

__all__ = ["AsyncQuery"]

M = TypeVar("M")
R = TypeVar("R")
PAGE = 1000


class AsyncQuery(Generic[M]):
    """A query for objects of one model. Every step returns a new query.

    Nothing is asked before the answer is.

    A query never writes. It answers as if the pending changes of the session had been written.
    """

    def __init__(self, session: AsyncSession, spec: QuerySpec) -> None:
        """Ask *spec* of *session*; use ``session.query(Model)``."""
        self._session, self._spec = session, spec

    # -- building ----------------------------------------------------------------------------------

    def where(self, *conditions: Any) -> AsyncQuery[M]:
        """Keep those for which all *conditions* hold, as in ``where(Account.balance > 10)``."""
        for condition in conditions:
            if not isinstance(condition, Condition | bool):
                raise QueryError(
                    f"cannot use {condition!r:.100} as a condition: compare a field of the model, "
                    "as in Account.balance > 10, "
                    "or use like, in_ and their kin.",
                    model=self._spec.mapper.name,
                )
        found = tuple(Truth(one) if isinstance(one, bool) else one for one in conditions)
        for condition in found:
            self._check_paths(paths_in(condition))
        return self._but(conditions=(*self._spec.conditions, *found))

    def order_by(self, *terms: Any) -> AsyncQuery[M]:
        """Order by fields, least first, or as ``desc(field)`` says.

        What these leave open is ordered by the key, so that the order is whole.
        """
        order = tuple(term if isinstance(term, Order) else asc(term) for term in terms)
        self._check_paths([term.path for term in order])
        return self._but(order=(*self._spec.order, *order))

    def limit(self, count: int) -> AsyncQuery[M]:
        """Return *count* objects at most."""
        return self._but(limit=self._checked(count, "limit"))

    def offset(self, count: int) -> AsyncQuery[M]:
        """Leave out the first *count* objects."""
        return self._but(offset=self._checked(count, "offset"))

    def include(self, *fields: Any) -> AsyncQuery[M]:
        """Load references and lists with the objects: one query for each level, not each object."""
        spec = self._spec
        includes = with_includes(spec.mapper, spec.includes, fields, "include")
        return self._but(includes=includes)

    def from_sql(self, statement: str, parameters: Any = ()) -> AsyncQuery[M]:
        """Take the objects from a statement of your own.

        Its rows must have all columns of the table, by name.
        """
        return self._but(raw=Execute(statement, parameters))

    def from_filter(self, given: dict[str, Any]) -> AsyncQuery[M]:
        """Take the objects from a filter of your own, which is sent to MongoDB as it is.

        Fields are called as they are in the store: the key is ``_id``, a reference ends in ``_id``.
        """
        db, mapper = self._session._db, self._spec.mapper
        return self._but(raw=documents_of(mapper, db, given, is_pipeline=False))

    def from_pipeline(self, given: Sequence[dict[str, Any]]) -> AsyncQuery[M]:
        """Take the objects from a pipeline of your own, whose documents are whole objects."""
        db, mapper = self._session._db, self._spec.mapper
        return self._but(raw=documents_of(mapper, db, given, is_pipeline=True))

    def for_update(self, nowait: bool = False, skip_locked: bool = False) -> AsyncQuery[M]:
        """Lock the rows of the answer: nobody else writes them until this session is done.

        That is, until its next commit or rollback, or, in ``db.transaction()``, until the end of
        that. Who has locked them already is waited for; with *nowait* ``BusyRetry`` is raised at
        once instead, with *skip_locked* such rows are left out. A store with one writer at a time
        locks all rows at once, so that there is nothing to leave out.

        The answer raises ``ConcurrentUpdate`` if a row is not as the session has first read it.
        """
        return self._but(lock=lock_word(self._spec.mapper, nowait, skip_locked))

    # -- answers -----------------------------------------------------------------------------------

    async def all(self) -> list[M]:
        """Return the objects."""
        self._session._check_open("run a query")
        async with self._session._lock:
            self._session._take_turn("run a query")
            return await self._answer(self._fetch)

    async def first(self) -> M | None:
        """Return the first object, ``None`` if there is none."""
        found = await self._but(
            limit=1 if self._spec.limit is None else min(1, self._spec.limit)
        ).all()
        return found[0] if found else None

    async def one(self) -> M:
        """Return the only object.

        :raises NotFoundError: if there is none.
        :raises MultipleFoundError: if there are more.
        """
        found = await (self if self._spec.limit is not None else self.limit(2)).all()
        name = self._spec.mapper.name
        if not found:
            raise NotFoundError(
                f"cannot get one {name}: no object meets the conditions. Use first() where there "
                "may be none.",
                model=name,
            )
        if len(found) > 1:
            raise MultipleFoundError(
                f"cannot get one {name}: more than one object meets the conditions. Add "
                "conditions, or use first().",
                model=name,
                count=len(found),
            )
        return found[0]

    async def get(self, key: Any) -> M | None:
        """Return the object with that *key* if it meets the conditions, ``None`` otherwise."""
        mapper = self._spec.mapper
        parts = self._session._key_tuple(mapper, key)
        terms = zip(mapper.key_columns, parts, strict=True)
        conditions = [In(Path((), column.name, column.kind), (part,)) for column, part in terms]
        return await self.where(*conditions).first()

    async def count(self) -> int:
        """Return the number of objects."""
        self._session._check_open("count")
        async with self._session._lock:
            self._session._take_turn("count")
            return await self._answer(self._count)

    async def exists(self) -> bool:
        """Say whether there is any."""
        return await self.first() is not None

    async def stream(self) -> AsyncGenerator[M, None]:
        """Yield the objects one after another, fetched in pages, for answers too large to hold.

        All pages see one point of the store. A connection is kept until the end, or until the
        generator is closed. In a snapshot or serializable session, and in a transaction, the answer
        is fetched as a whole, for it has to be read there.
        """
        session = self._session
        session._check_open("stream")
        unit, spec = session.unit, self._spec
        overlay = Overlay(unit, spec)
        is_plain = spec.raw is None and doubtful_condition(unit, spec) is None
        is_plain = is_plain and spec.lock is None
        if session._reads_alone and overlay.is_empty and is_plain and not self._is_reached():
            mapper, bindings = spec.mapper, session._db.binding
            binding = bindings(mapper.root)
            select = self._select(binding.columns, spec.limit, offset=spec.offset)
            loads = loads_for(bindings, mapper, spec.includes)
            connection = await session._db.pool.acquire()
            try:
                handle = await connection.run(open_pages(select))
                while True:
                    rows, loaded = await connection.run(next_page(handle, PAGE, loads))
                    if not rows:
                        break
                    objects = objects_of(unit, binding, mapper, rows)
                    link(unit, bindings, objects, mapper, spec.includes, loaded)
                    for found in objects:
                        yield found
                await connection.run(close_pages(handle))
            finally:
                session._db.pool.release(connection)
            return
        for found in await self.all():
            yield found

    # -- inside ------------------------------------------------------------------------------------

    def _but(self, **changes: Any) -> AsyncQuery[M]:
        return AsyncQuery(self._session, self._spec.but(**changes))

    def _check_paths(self, paths: list[Path]) -> None:
        for path in paths:
            table = path.table
            if table is not None and table is not self._spec.mapper.root.table:
                name = path.steps[0].columns[0] if path.steps else path.column
                raise stranger(self._spec.mapper, f"{table.name}.{name}", "use")

    def _checked(self, count: Any, name: str) -> int:
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise QueryError(
                f"cannot use {count!r} as {name}: a whole number that is not negative is needed.",
                model=self._spec.mapper.name,
            )
        return int(count)

    def _select(self, columns: tuple[str, ...], limit: int | None, **more: Any) -> Select:
        return self._spec.select(columns, limit, lock=self._spec.lock, **more)

    def _is_reached(self) -> bool:
        """Say whether pending deletions reach what is asked, over references that follow them."""
        unit = self._session.unit
        tables = {mapper.table for mapper in reached(unit)}
        steps = {step.table for path in all_paths(self._spec) for step in path.steps}
        return bool(tables) and not tables.isdisjoint({self._spec.mapper.root.table, *steps})

    async def _answer(self, ask: Callable[[], Awaitable[R]]) -> R:
        """Answer while what follows the pending deletions is deleted too, as a commit would do."""
        if not self._is_reached():
            return await ask()
        followed = await self._session._cascade()
        try:
            return await ask()
        finally:
            self._session._take_back(followed)

    async def _fetch(self) -> list[Any]:
        session, spec = self._session, self._spec
        unit = session.unit
        if spec.raw is not None:
            return await self._fetch_raw(spec.raw)
        mapper = spec.mapper
        overlay = Overlay(unit, spec)
        binding = session._db.binding(mapper.root)
        doubtful = doubtful_condition(unit, spec)
        limit, offset = spec.limit, spec.offset
        if doubtful is not None:
            limit, offset = None, 0
        elif not overlay.is_empty:
            limit, offset = overlay.widened(limit, offset), 0
        select = self._select(binding.columns, limit, offset=offset, doubtful=doubtful)
        loads = loads_for(session._db.binding, mapper, spec.includes)
        rows, loaded = await self._ask(fetch(select, loads))
        self._note_read(select, rows)
        session._note_lists(rows, loads, loaded)
        marked = set()
        if doubtful is not None:
            marked = {binding.key_in(row[:-1]) for row in rows if row[-1]}
            rows = [row[:-1] for row in rows]
        if spec.lock is not None:
            self._check_locked(check_locked, rows)
        with pausing_collector(len(rows)):
            found = objects_of(unit, binding, mapper, rows)
            if spec.includes:
                link(unit, session._db.binding, found, mapper, spec.includes, loaded)
        if overlay.is_empty and doubtful is None:
            return found
        doubted = [one for one in found if mapper.key_of(one) in marked]
        await self._load_steps(all_paths(spec), [*overlay.members, *doubted])
        await self._load_steps(order_paths(spec), found)
        answer = overlay.merge(found, doubted)
        if spec.lock is not None:
            answer = await self._lock_pending(answer, spec.lock)
        await session._include(answer, mapper, spec.includes)
        return answer

    async def _ask(self, flow: Flow[R]) -> R:
        session, lock = self._session, self._spec.lock
        if lock is None:
            return await session._read(flow)
        return await session._read_and_lock(flow, lock)

    def _check_locked(self, check: Callable[..., R], *found: Any) -> R:
        session = self._session
        binding = session._db.binding(self._spec.mapper.root)
        try:
            return check(session.unit, binding, *found)
        except LostRace as lost:
            raise session._explained(lost) from None

    async def _lock_pending(self, answer: list[Any], lock: str) -> list[Any]:
        """Lock the rows of changed objects, which the store has left out of what it locked."""
        session, root = self._session, self._spec.mapper.root
        changed = changed_of(session.unit, answer)
        if not changed:
            return answer
        select = members_select(root, session._db.binding(root).columns, list(changed), lock)
        rows, _ = await self._ask(fetch(select, ()))
        left_out = self._check_locked(left_out_of, changed, rows, lock)
        return [one for one in answer if one not in left_out]

    async def _load_steps(self, paths: list[Path], objects: Sequence[Any]) -> None:
        """Load the references that have to be followed so that the objects can be judged."""
        session = self._session
        for lacking, mapper, field in unloaded_steps(session.unit, paths, objects):
            await session._load_includes(lacking, mapper, (Include(field),))

    def _note_read(self, select: Select, rows: list[tuple[Any, ...]]) -> None:
        """Remember the question and its answer, which a serializable commit checks."""
        session = self._session
        if session._isolation != "serializable":
            return
        table = select.table
        columns = (*table.key, table.version or table.key[0])
        positions = [select.columns.index(name) for name in columns]
        where = select.where
        if select.doubtful is not None and where is not None:
            where = Or((where, select.doubtful))
        question = Select(table, columns, where, select.order, select.limit, select.offset)
        answer = [tuple(row[at] for at in positions) for row in rows]
        session._note(self._spec.mapper.name, question, answer)

    async def _fetch_raw(self, request: Execute | Documents) -> list[Any]:
        session, spec = self._session, self._spec
        mapper = spec.mapper
        if spec.lock is not None:
            raise no_statement_lock(mapper)
        check_alone(spec)
        binding = session._db.binding(mapper.root)
        rows, names = await session._execute(request, mapper.name)
        ordered = rows_in_order(mapper, binding.columns, rows, names)
        found = objects_of(session.unit, binding, mapper, ordered)
        found = [one for one in found if isinstance(one, mapper.model)]
        end = None if spec.limit is None else spec.offset + spec.limit
        found = found[spec.offset : end]
        await session._include(found, mapper, spec.includes)
        return found

    async def _count(self) -> int:
        session, spec = self._session, self._spec
        overlay = Overlay(session.unit, spec)
        is_plain = spec.raw is None and doubtful_condition(session.unit, spec) is None
        is_plain = is_plain and spec.lock is None
        if not is_plain or len(overlay.keys) > PAGE or session._isolation == "serializable":
            return len(await self._fetch())
        where = spec.where()
        if overlay.keys:
            others = overlay.exclusion()
            where = others if where is None else And((where, others))
        select = Select(spec.mapper.root.table, (), where, count=True)
        rows, _ = await session._read(fetch(select, ()))
        await self._load_steps(all_paths(spec), overlay.members)
        stored: Any = rows[0][0]
        total = int(stored) + len(overlay.matching())
        left: int = max(total - spec.offset, 0)
        return left if spec.limit is None else min(left, spec.limit)
