"""``Model.objects`` of a ``NoSQLModel``: the manager, with a face like that of a collection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping

from graven._async.objects import AsyncObjects
from graven._async.query import AsyncQuery
from graven._common.asking import plain_filter
from graven._hints import Any, TypeVar
from graven.errors import UsageError
from graven.models.documents.serializer import ModelSerializer
from graven.models.model import mapper_of

__all__ = ["AsyncNoSQLDatabaseProxy"]

M = TypeVar("M")


class AsyncNoSQLDatabaseProxy(AsyncObjects[M]):
    """A proxy to the collection of a model, which holds a cache of its objects.

    It is a manager, and finds documents too, which ``Model.restore`` makes objects of. What it does
    not have itself is asked of the collection, if the store has collections: MongoDB's take no
    part in the session then.
    """

    async def find_one(self, filter: Mapping[str, Any] | None = None) -> Any:
        """Return the document of the first object that *filter* fits, ``None`` if there is none.

        A filter names fields and their values, on every backend: ``{"owner": "Ada"}``. ``_id`` is
        the key, and a dot follows a reference. With operators, ``{"age": {"$gt": 9}}``, it is sent
        to MongoDB as it is, with names as they are in the store.

        :raises QueryError: if there is no field of a name.
        :raises UsageError: if it has operators, and the store is another one.
        """
        found = await self._do(lambda session: self._filtered(session, filter).first())
        return None if found is None else self.model.serializer.flatten_object(found)

    async def find(self, filter: Mapping[str, Any] | None = None) -> AsyncGenerator[Any, None]:
        """Yield the documents of all objects that *filter* fits."""
        found = await self._do(lambda session: self._filtered(session, filter).all())
        for one in found:
            yield self.model.serializer.flatten_object(one)

    async def get_object_state(self, obj: Any, state: Any, scope: Any = None) -> dict[str, Any]:
        """Return the fields that restore *obj*; see :class:`graven.NoSQLModelSerializer`."""
        scope = {} if scope is None else scope
        serializer = self.model.serializer
        model, key = serializer.identify(state)
        root = mapper_of(model).root.model
        if "__key__" in state and (root, key) not in scope:
            scope[root, key] = await self._do(lambda session: session.get_one(model, key))
        return ModelSerializer.get_object_state(serializer, obj, state, scope)

    async def get_or_create(self, model: Any, state: Any, scope: Any = None) -> tuple[Any, bool]:
        """Return the object of a document, or an empty one, and whether it is new.

        See :class:`graven.NoSQLModelSerializer`.
        """
        scope = {} if scope is None else scope
        found, key = model.serializer.identify(state)
        root = mapper_of(found).root.model
        if key is not None and (root, key) not in scope:
            stored = await self._do(lambda session: session.get(found, key))
            if stored is not None:
                scope[root, key] = stored
        return ModelSerializer.get_or_create(model.serializer, model, state, scope)

    async def collection(self) -> Any:
        """Return the collection of the model, one of PyMongo's.

        What is done with it is done at once, and past the session.

        :raises UsageError: if the store has no collections.
        """
        if not self.database.pool.dialect.has_documents:
            raise UsageError(
                f"cannot get the collection of {self.model.__name__}: {self.database!r} has none, "
                "which is MongoDB's word. Use filter(), or db.execute() with a statement."
            )
        pool = self.database.pool
        connection = await pool.acquire()
        try:
            return connection.collection(mapper_of(self.model).table.name)
        finally:
            pool.release(connection)

    def __getattr__(self, name: str) -> Any:
        """Return what calls the method of that name of the collection, if there is one."""
        if name.startswith("_") or not self.database.pool.dialect.has_documents:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}, and the store has no "
                "collection that it could be asked of",
                name=name,
                obj=self,
            )

        async def passed_on(*arguments: Any, **options: Any) -> Any:
            method = getattr(await self.collection(), name)
            return await method(*arguments, **options)

        return passed_on

    def _filtered(self, session: Any, filter: Mapping[str, Any] | None) -> AsyncQuery[M]:
        conditions = plain_filter(self.model, filter or {})
        query: Any = self._on(session)
        if conditions is not None:
            return query.where(*conditions)  # type: ignore[no-any-return]
        return query.from_filter(dict(filter or {}))  # type: ignore[no-any-return]
