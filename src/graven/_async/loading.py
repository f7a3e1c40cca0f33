"""The part of a session that reads: connections for reading, includes, cascades, refreshing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from graven._async import colour
from graven._common.linking import link, loads_for, seeds_for
from graven.core.lifecycle import DELETED
from graven.core.query import Include
from graven.core.unit import UnitOfWork
from graven.errors import NotFoundError, SessionError, UsageError
from graven.flows.load import fetch_by_keys, fetch_statement, include
from graven.flows.transaction import begin
from graven.models.checks import fits, refuse, unstorable
from graven.models.model import Model, mapper_of
from graven.ops.requests import Flow

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven.core.scopes import Scope

__all__ = ["AsyncLoading"]

R = TypeVar("R")


class AsyncLoading:
    """Reading for one unit of work."""

    def __init__(self, db: AsyncDatabase, unit: UnitOfWork, isolation: str) -> None:
        """Read from *db* into *unit*."""
        self._db = db
        self._unit = unit
        self._isolation = isolation
        self._lock = colour.Lock()
        self._pinned: Any = None
        self._has_flushed = False
        self._queries: list[Any] = []

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
            return await transaction.run(flow, settle)  # type: ignore[no-any-return]
        pool = self._db.pool
        connection = await pool.acquire()
        try:
            return await connection.run(flow, settle)  # type: ignore[no-any-return]
        finally:
            pool.release(connection)

    async def _read(self, flow: Flow[R]) -> R:
        """Run a flow that reads.

        In a snapshot or serializable session all reads see one point of the store.
        """
        if (
            self._isolation != "optimistic"
            and self._pinned is None
            and self._db.current_transaction() is None
        ):
            connection = await self._db.pool.acquire()
            try:
                await connection.run(begin(False))
            except BaseException:
                self._db.pool.release(connection)
                raise
            self._pinned = connection
        return await self._run(flow)

    async def _run_statement(
        self, statement: str, parameters: Any
    ) -> tuple[list[tuple[Any, ...]], tuple[str, ...]]:
        return await self._run(fetch_statement(statement, parameters))

    # -- keys --------------------------------------------------------------------------------------

    def _key_tuple(self, mapper: Any, key: Any) -> tuple[Any, ...]:
        """Return a key as a tuple of its parts, checked against the model."""
        parts = key if len(mapper.key_fields) > 1 else (key,)
        if not isinstance(parts, tuple) or len(parts) != len(mapper.key_fields):
            expected = f"a tuple of {', '.join(mapper.key_fields)}"
            raise refuse(mapper.name, key, "key", key, expected)
        for name, part in zip(mapper.key_fields, parts, strict=True):
            python, kind = mapper.field(name).type.python, mapper.field(name).type.kind
            if not fits(part, python):
                raise refuse(mapper.name, key, name, part, python.__name__)
            if why := unstorable(kind, part):
                raise refuse(mapper.name, key, name, part, python.__name__, why)
        return parts

    def _is_deleted(self, mapper: Any, key: Any) -> bool:
        """Say whether the object with that key is deleted in this session."""
        return any(
            record.state == DELETED and record.key == key and record.mapper.root is mapper.root
            for record in self._unit.records.values()
        )

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
            link(self._unit, self._db.binding, objects, mapper, (one,), loaded)

    async def _cascade(self, scope: Scope) -> None:
        """Find what refers to the deleted objects, and delete it or let go of them.

        As it declares.
        """
        done: set[int] = set()
        while True:
            records = [one for one in self._unit.deleted_in(scope) if id(one) not in done]
            if not records:
                return
            done.update(id(record) for record in records)
            groups: dict[Any, list[Any]] = {}
            for record in records:
                groups.setdefault(record.mapper.root, []).append(record)
            for root, found in groups.items():
                for child, field in _followers(root):
                    await self._cascade_field(child, field, found)

    async def _cascade_field(self, child: Any, field: Any, records: Sequence[Any]) -> None:
        if not await self._db.has_table(child.table.name):
            return
        keys = [self._key_tuple(record.mapper, record.key) for record in records]
        binding = self._db.binding(child.root)
        flow = fetch_by_keys(child.table, binding.columns, field.columns, keys, ())
        rows, _ = await self._read(flow)
        unit = self._unit
        found = binding.hydrate(rows, unit, unit.map_of(child), False)
        pending = [one.instance for one in unit.pending() if one.mapper.root is child.root]
        gone = {record.key for record in records}
        for one in {id(each): each for each in (*found, *pending)}.values():
            held = next(
                (each for each in unit.mapper(one).references if each.columns == field.columns),
                None,
            )
            if held is None or held.key_in(one) not in gone or unit.state(one) in (None, DELETED):
                continue
            if field.said.on_delete == "set_null":
                setattr(one, held.name, None)
            else:
                unit.delete(one)

    # -- refreshing --------------------------------------------------------------------------------

    async def _refresh(self, instance: Any, keep_changes: bool) -> None:
        unit = self._unit
        mapper = mapper_of(type(instance))
        origin = instance._origin
        if origin is None or origin.unit is not unit:
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
        unit.renew(instance, image, version, keep_changes)


def _followers(root: Any) -> list[tuple[Any, Any]]:
    """Return the references to objects of a table that follow their deletion, each column once."""
    found: dict[Any, tuple[Any, Any]] = {}
    for child, field in root.referrers:
        if field.is_owner or field.said.on_delete != "refuse":
            found.setdefault((child.root, field.columns), (child, field))
    return list(found.values())
