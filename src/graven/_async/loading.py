"""The part of a session that reads: connections for reading, includes, cascades, refreshing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from graven._async import colour
from graven._common.arriving import objects_of
from graven._common.dropping import give_back
from graven._common.linking import having, link, loads_for, seeds_for
from graven._hints import TYPE_CHECKING, Any, TypeVar
from graven.core.following import cascade, followed, followers
from graven.core.query import Include
from graven.core.unit import UnitOfWork
from graven.core.values import ABSENT
from graven.errors import DataError, NotFoundError, SessionError, UsageError
from graven.flows.commit import Question
from graven.flows.load import fetch_by_keys, include, lists_read
from graven.flows.transaction import begin_first
from graven.models.checks import INTEGER_MAX, INTEGER_MIN, fits, unstorable
from graven.models.model import Model, mapper_of
from graven.models.types import stored_value
from graven.ops.requests import Flow

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven.core.scopes import Scope

__all__ = ["AsyncLoading"]

R = TypeVar("R")


class AsyncLoading:
    """Reading for one unit of work."""

    _pinned: Any = None

    def __init__(self, db: AsyncDatabase, unit: UnitOfWork, isolation: str) -> None:
        """Read from *db* into *unit*."""
        self._db = db
        self._unit = unit
        self._isolation = isolation
        self._lock = colour.Lock()
        self._has_flushed = False
        self._doing = ""
        self._queries: list[Any] = []
        self._absent: set[str] = set()

    def __del__(self) -> None:
        """Give back a connection that is still kept."""
        if self._pinned is not None:
            give_back(self._db.pool, self._pinned)

    @property
    def unit(self) -> UnitOfWork:
        """The unit of work of the session."""
        return self._unit

    def _check_open(self, attempted: str) -> None:
        if not self._unit.is_open:
            raise SessionError(
                f"cannot {attempted}: the session has ended. Its objects stay readable; open a "
                "new one with db.session(), and bring "
                "objects in with session.add.",
                session=self,
            )

    def _take_turn(self, attempted: str) -> None:
        """Begin a call that holds the lock; the session may have ended while it was waited for."""
        if not self._unit.is_open:
            self._check_open(attempted)
        self._doing = attempted

    @staticmethod
    def _check_model(instance: Any, attempted: str) -> None:
        if not isinstance(instance, Model):
            raise UsageError(
                f"cannot {attempted} {instance!r:.100}: it is a {type(instance).__name__}, and "
                "only objects of models can be "
                "part of a session. Derive the class from graven.Model."
            )

    def _forget_reads(self) -> None:
        self._queries.clear()

    # -- connections -------------------------------------------------------------------------------

    async def _run(
        self, flow: Flow[R], settle: Callable[[Any, BaseException | None], None] | None = None
    ) -> R:
        """Run a flow on the connection that the session keeps, or on one taken for the call."""
        if self._pinned is not None:
            return await self._pinned.run(flow, settle)  # type: ignore[no-any-return]
        transaction = self._db.current_transaction()
        if transaction is not None:
            return await transaction.run(flow, settle)
        pool = self._db.pool
        connection = await (pool.acquire() if settle is None else self._acquire(settle))
        try:
            return await connection.run(flow, settle)  # type: ignore[no-any-return]
        finally:
            pool.release(connection)

    async def _run_and_keep(
        self, flow: Flow[R], settle: Callable[[Any, BaseException | None], None] | None = None
    ) -> R:
        """Run a flow, and keep the connection with the transaction that it leaves open."""
        if self._pinned is None:
            connection = await self._acquire(settle)
            try:
                result: R = await connection.run(flow, settle)
            except BaseException:
                self._db.pool.release(connection)
                raise
            self._pinned = connection
            return result
        return await self._pinned.run(flow, settle)  # type: ignore[no-any-return]

    async def _acquire(self, settle: Callable[[Any, BaseException | None], None] | None) -> Any:
        """Take a connection; if there is none to be had, the call is settled with that."""
        try:
            return await self._db.pool.acquire()
        except BaseException as error:
            if settle is not None:
                settle(None, error)
            raise

    async def _read(self, flow: Flow[R]) -> R:
        """Run a flow that reads.

        In a snapshot or serializable session all reads see one point of the store.
        """
        if (
            self._isolation == "optimistic"
            or self._pinned is not None
            or self._db.current_transaction() is not None
        ):
            return await self._run(flow)
        return await self._run_and_keep(begin_first(False, flow, self._isolation))

    @property
    def _reads_alone(self) -> bool:
        """Whether a read may be made on any connection, and need not be remembered."""
        return (
            self._isolation == "optimistic"
            and self._pinned is None
            and self._db.current_transaction() is None
        )

    def _note(self, name: str, request: Any, answer: Sequence[Any]) -> None:
        """Remember a question and its answer, which a serializable commit asks again."""
        if self._isolation == "serializable":
            self._queries.append(Question(name, request, answer))

    def _note_lists(self, rows: Sequence[Any], loads: Sequence[Any], loaded: Sequence[Any]) -> None:
        if loads and self._isolation == "serializable":
            for question in lists_read(rows, loads, loaded):
                self._note(*question)

    # -- keys --------------------------------------------------------------------------------------

    def _key_tuple(self, mapper: Any, key: Any) -> tuple[Any, ...]:
        """Return a key as a tuple of its parts, checked against the model."""
        kind = mapper.plain_key_type
        if type(key) is kind and (kind is not int or INTEGER_MIN <= key <= INTEGER_MAX):
            return (key,)
        parts = key if len(mapper.key_fields) > 1 else (key,)
        stored = []
        if not isinstance(parts, tuple) or len(parts) != len(mapper.key_fields):
            expected = f"a tuple of {', '.join(mapper.key_fields)}"
            raise _no_key(mapper, key, expected)
        for name, part in zip(mapper.key_fields, parts, strict=True):
            declared = mapper.field(name).type
            if not fits(part, declared.python):
                raise _no_key(mapper, key, declared.python.__name__)
            if why := unstorable(declared.limited_kind, part):
                raise _no_key(mapper, key, declared.python.__name__, why)
            stored.append(stored_value(declared, part))
        return tuple(stored)

    # -- includes ----------------------------------------------------------------------------------

    async def _load_includes(
        self, instances: Iterable[Any], mapper: Any, includes: Sequence[Include]
    ) -> None:
        """Load references and lists of objects that are there already."""
        objects = [one for one in instances if one._origin is not None]
        for one in includes:
            load = loads_for(self._db.binding, mapper, (one,), from_object=True)
            seeds = seeds_for(self._db.binding, objects, mapper, one.field)
            loaded = await self._read(include(seeds, load))
            self._note_lists(seeds, load, loaded)
            link(self._unit, self._db.binding, objects, mapper, (one,), loaded)

    async def _include(
        self, instances: Sequence[Any], mapper: Any, includes: Sequence[Include]
    ) -> None:
        """Load what *includes* name and is not loaded yet, whatever was changed meanwhile."""
        for one in includes:
            objects = having(instances, one.field)
            lacking = [each for each in objects if one.field.loaded(each) is ABSENT]
            if lacking:
                await self._load_includes(lacking, mapper, (Include(one.field),))
            if one.inner:
                await self._include(_referred(objects, one.field), one.field.target, one.inner)

    # -- cascades ----------------------------------------------------------------------------------

    async def _cascade(self, scope: Scope | None = None) -> list[Callable[[], None]]:
        """Find what refers to the deleted objects of *scope*, or of all scopes.

        And delete it or let go of them, as it declares. Returns what takes that back.
        """
        unit = self._unit
        done: set[int] = set()
        undo: list[Callable[[], None]] = []
        try:
            while roots := followed(unit):
                groups: dict[Any, list[Any]] = {}
                for record in unit.deleted() if scope is None else unit.deleted_in(scope):
                    root = record.mapper.root
                    if root in roots and id(record) not in done:
                        done.add(id(record))
                        groups.setdefault(root, []).append(record)
                if not groups:
                    return undo
                for root, found in groups.items():
                    await self._look_for_links(root)
                    for child, field in followers(root):
                        undo += await self._cascade_field(child, field, found)
        except BaseException:
            self._take_back(undo)
            raise
        return undo

    async def _look_for_links(self, root: Any) -> None:
        """See which tables of pairs are not there, for models that were never created here."""
        for table, _ in root.link_ends:
            if await self._db.has_table(table.name, self._run):
                self._absent.discard(table.name)
            else:
                self._absent.add(table.name)

    async def _cascade_field(
        self, child: Any, field: Any, records: Sequence[Any]
    ) -> list[Callable[[], None]]:
        if not await self._db.has_table(child.table.name, self._run):
            return []
        keys = [self._key_tuple(record.mapper, record.key) for record in records]
        binding = self._db.binding(child.root)
        flow = fetch_by_keys(child.table, binding.columns, field.columns, keys, ())
        rows, _ = await self._read(flow)
        found = objects_of(self._unit, binding, child, rows, peers=False)
        return cascade(self._unit, child, field, records, found)

    @staticmethod
    def _take_back(undo: list[Callable[[], None]]) -> None:
        """Take back what a cascade did."""
        for step in reversed(undo):
            step()

    # -- refreshing --------------------------------------------------------------------------------

    async def _refresh(self, instance: Any, keep_changes: bool) -> None:
        unit = self._unit
        mapper = mapper_of(type(instance))
        origin = instance._origin
        if origin is None or origin.unit not in (unit, unit.grave):
            raise SessionError(
                f"cannot refresh {instance!r:.200}: it is not part of this session. Load it with "
                "this session, or bring it in "
                "with session.add first.",
                session=self,
            )
        key = mapper.key_of(instance)
        binding = self._db.binding(mapper.root)
        keys = (self._key_tuple(mapper, key),)
        rows, _ = await self._read(
            fetch_by_keys(mapper.table, binding.columns, mapper.table.key, keys, ())
        )
        if not rows:
            raise NotFoundError(
                f"cannot refresh {mapper.name} {key!r}: it is not in the store. It was never "
                "committed, or somebody has "
                "deleted it.",
                model=mapper.name,
                key=key,
            )
        image, version = binding.image(rows[0])
        if origin.unit is unit.grave and not keep_changes:
            unit.add(instance)
        unit.renew(instance, image, version, keep_changes)


def _referred(objects: Sequence[Any], field: Any) -> list[Any]:
    """Return the objects that *field* of *objects* refers to, each once."""
    found: dict[Any, None] = {}
    for one in objects:
        value = field.loaded(one)
        found.update(dict.fromkeys(value if isinstance(value, list) else (value,)))
    return [one for one in found if getattr(one, "_origin", None) is not None]


def _no_key(mapper: Any, key: Any, expected: str, why: str = "") -> DataError:
    return DataError(
        f"cannot look for {mapper.name} {key!r:.100} ({type(key).__name__}): its key is made of "
        f"{', '.join(mapper.key_fields)}, and expected is {expected}.{' ' + why if why else ''} "
        "Give a value of the key's type.",
        model=mapper.name,
        key=key,
        field=mapper.key_fields[0],
        value=key,
        expected=expected,
    )
