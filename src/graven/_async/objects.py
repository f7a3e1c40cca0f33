"""``Model.objects`` in a session, or on a database: the objects of one model."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence

from graven._async.query import AsyncQuery
from graven._common.asking import Cached, equal, term
from graven._hints import TYPE_CHECKING, Any, Generic, TypeVar
from graven.core.lifecycle import DELETED
from graven.core.membership import is_gone
from graven.core.query import QuerySpec
from graven.core.values import ABSENT
from graven.errors import NotFoundError
from graven.models.face import manager_of
from graven.models.model import mapper_of
from graven.ops.conditions import And, Not

if TYPE_CHECKING:
    from graven._async.database import AsyncDatabase
    from graven._async.session import AsyncSession

__all__ = ["AsyncObjects", "manager"]

M = TypeVar("M")
R = TypeVar("R")


class AsyncObjects(Generic[M]):
    """The objects of one model, or those of them that it was narrowed to.

    Of a session, it works in that; otherwise each call has a session of its own. Every step
    returns a new one. Nothing is asked before the answer is.
    """

    def __init__(
        self, model: type[M], database: AsyncDatabase, session: AsyncSession | None
    ) -> None:
        """Stand for the objects of *model*; use ``Model.objects``."""
        self.model: Any = model
        self.database, self.session = database, session
        self._spec = QuerySpec(mapper_of(model))

    def __repr__(self) -> str:
        where = "a session of each call's own" if self.session is None else "the session"
        return f"<the objects of {self.model.__name__}, in {where}>"

    def using(self, place: Any) -> AsyncObjects[M]:
        """Return the manager of the model for another session, or a database."""
        return place.objects(self.model)  # type: ignore[no-any-return]

    @property
    def cache(self) -> Mapping[Any, M]:
        """The objects of the model that the session has, by key; a live view."""
        unit = None if self.session is None else self.session.unit
        return Cached(unit, mapper_of(self.model))

    # -- narrowing ---------------------------------------------------------------------------------

    def filter(self, *conditions: Any, **fields: Any) -> AsyncObjects[M]:
        """Keep those for which all *conditions* hold, and whose *fields* have these values."""
        return self._but(self._query.where(*conditions, *equal(self.model, fields)))

    def exclude(self, *conditions: Any, **fields: Any) -> AsyncObjects[M]:
        """Leave out those for which all that holds."""
        parts = (*conditions, *equal(self.model, fields))
        return self._but(self._query.where(Not(And(parts)))) if parts else self

    def order_by(self, *terms: Any) -> AsyncObjects[M]:
        """Order by fields, also by name: ``order_by("owner", "-balance")``."""
        return self._but(self._query.order_by(*(term(self.model, one) for one in terms)))

    def limit(self, count: int) -> AsyncObjects[M]:
        """Return *count* objects at most."""
        return self._but(self._query.limit(count))

    def offset(self, count: int) -> AsyncObjects[M]:
        """Leave out the first *count* objects."""
        return self._but(self._query.offset(count))

    def include(self, *fields: Any) -> AsyncObjects[M]:
        """Load references and lists with the objects."""
        return self._but(self._query.include(*fields))

    # -- answers -----------------------------------------------------------------------------------

    async def all(self) -> list[M]:
        """Return the objects."""
        return await self._do(lambda session: self._on(session).all())

    async def get(self, key: Any = ABSENT, /, **fields: Any) -> M:
        """Return the object with that *key*, or the only one whose *fields* have these values.

        :raises NotFoundError: if there is none.
        :raises MultipleFoundError: if there are more.
        """
        if key is ABSENT:
            narrowed = self.filter(**fields)
            return await self._do(lambda session: narrowed._on(session).one())
        found = await self.get_or_none(key, **fields)
        if found is None:
            name = self.model.__name__
            raise NotFoundError(
                f"cannot get {name} {key!r:.100}: there is none with that key that meets the "
                "conditions. It may have been deleted, or never committed.",
                model=name,
                key=key,
            )
        return found

    async def get_or_none(self, key: Any = ABSENT, /, **fields: Any) -> M | None:
        """Return what :meth:`get` returns, ``None`` if there is none.

        :raises MultipleFoundError: if there are more.
        """
        narrowed = self.filter(**fields) if fields else self
        if key is ABSENT:
            try:
                return await narrowed.get()
            except NotFoundError:
                return None
        if narrowed._spec.conditions:
            return await self._do(lambda session: narrowed._on(session).get(key))
        return await self._do(lambda session: session.get(self.model, key))

    async def first(self) -> M | None:
        """Return the first object, ``None`` if there is none."""
        return await self._do(lambda session: self._on(session).first())

    async def count(self) -> int:
        """Return the number of objects."""
        return await self._do(lambda session: self._on(session).count())

    async def exists(self) -> bool:
        """Say whether there is any."""
        return await self._do(lambda session: self._on(session).exists())

    async def stream(self) -> AsyncGenerator[M, None]:
        """Yield the objects one after another, fetched in pages."""
        session = self.database.session() if self.session is None else self.session
        pages = self._on(session).stream()
        try:
            async for found in pages:
                yield found
        finally:
            await pages.aclose()
            if session is not self.session:
                await session.close()

    def __aiter__(self) -> AsyncIterator[M]:
        """Go through the objects, as :meth:`stream` yields them."""
        return self.stream()

    # -- changes -----------------------------------------------------------------------------------

    async def create(self, **fields: Any) -> M:
        """Make an object of *fields*, store it with what it needs, and return it.

        If it cannot be stored, the session forgets it.
        """

        async def work(session: AsyncSession) -> M:
            async with session.begin():
                instance = self.model(**fields)
                session.add(instance)
            return instance  # type: ignore[no-any-return]

        return await self._do(work)

    async def delete(self) -> int:
        """Delete the objects, in one transaction, and return how many they were.

        If that cannot be done, none of them is deleted in the session either.

        :raises ConcurrentUpdate: if somebody else has changed one since it was read.
        """

        async def work(session: AsyncSession) -> int:
            found = await self._on(session).all()
            async with session.begin():
                session.delete(*found)
            return len(found)

        return await self._do(work)

    async def save(self, instance: M) -> None:
        """Write an object and what it needs; see :meth:`graven.Model.save`."""
        await self._do(lambda session: session.commit(instance))

    async def remove(self, instance: M) -> None:
        """Delete one object; see :meth:`graven.Model.delete`."""

        async def work(session: AsyncSession) -> None:
            if session.state(instance) == DELETED:
                await session.commit(instance)
                return
            if session.state(instance) is None:
                session.add(instance)
            async with session.begin():
                session.delete(instance)

        if not is_gone(instance):
            await self._do(work)

    async def load(self, instance: M) -> None:
        """Read an object anew; see :meth:`graven.Model.load`."""
        from graven._async.restoring import load

        await self._do(lambda session: load(session, instance))

    async def restore(self, state: Any, force: bool = False, *, levels_max: int | None = None) -> M:
        """Return the object of a key or a document; see :meth:`graven.Model.restore`."""
        (found,) = await self.restore_all([state], force, levels_max=levels_max)
        return found

    async def restore_all(
        self, states: Sequence[Any], force: bool = False, *, levels_max: int | None = None
    ) -> list[M]:
        """Return the objects of many keys or documents; what they refer to is loaded together."""
        from graven._async.restoring import restore

        model = self.model
        return await self._do(lambda session: restore(session, model, states, force, levels_max))

    # -- inside ------------------------------------------------------------------------------------

    @property
    def _query(self) -> AsyncQuery[M]:
        return self._on(self.session)

    def _on(self, session: Any) -> AsyncQuery[M]:
        """Return the query that asks *session*; without one it can only be narrowed."""
        asked: AsyncSession = session
        if session is not None:
            asked._check_open("use a manager")
        return AsyncQuery(asked, self._spec)

    def _but(self, query: AsyncQuery[M]) -> AsyncObjects[M]:
        narrowed = manager(self.model, self.database, self.session)
        narrowed._spec = query._spec
        return narrowed

    async def _do(self, work: Callable[[AsyncSession], Awaitable[R]]) -> R:
        """Do work in the session, or in one of its own, which writes nothing by itself."""
        if self.session is not None:
            return await work(self.session)
        session = self.database.session()
        try:
            return await work(session)
        finally:
            await session.close()


def manager(model: type[M], database: Any, session: Any) -> AsyncObjects[M]:
    """Return the manager of a model, of the kind that its class asks for."""
    if not manager_of(model).is_proxy:
        return AsyncObjects(model, database, session)
    from graven._async.nosql import AsyncNoSQLDatabaseProxy

    return AsyncNoSQLDatabaseProxy(model, database, session)
