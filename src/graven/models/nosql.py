"""The names that models have in ``atomdb.nosql``: on every backend, and in both colours."""

from __future__ import annotations

from typing import Any

from graven.models.documents.serializer import ModelSerializer
from graven.models.face import ModelManager, objects_for
from graven.models.model import Model, mapper_of

__all__ = ["NoSQLModel", "NoSQLModelManager", "NoSQLModelSerializer"]


class NoSQLModelManager(ModelManager):
    """A manager that is read from a model as a proxy to its collection.

    That is a :class:`~graven.NoSQLDatabaseProxy` of the current session, or of *database* where
    there is none.
    """

    __slots__ = ()

    is_proxy = True


class NoSQLModelSerializer(ModelSerializer):
    """Makes documents of objects and objects of documents, with the help of the current session.

    Objects that a document refers to are saved and restored with it: a commit writes the pending
    objects that what is saved refers to, and ``Model.restore`` loads them. ``registry`` has all
    registered models.
    """

    def get_object_state(self, obj: Any, state: Any, scope: Any = None) -> Any:
        """Look up the fields that restore *obj*: those of the document, or of what it refers to.

        Of a reference to an object that *scope* does not have, the session is asked, and the store.
        In an async session the result is to be awaited.

        :raises NotFoundError: if the object is not there.
        :raises UsageError: if there is neither a session nor a database.
        """
        objects = objects_for(type(obj), obj, f"look up the document of {obj!r:.200}")
        return objects.get_object_state(obj, state, scope)

    def get_or_create(self, cls: type[Any], state: Any, scope: Any = None) -> Any:
        """Return the object of a document, or an empty one, and whether it is new.

        That is the object that *scope* has, or the session, or the store. In an async session the
        result is to be awaited.

        :raises UsageError: if there is neither a session nor a database.
        """
        objects = objects_for(cls, None, f"look up a {cls.__name__}")
        return objects.get_or_create(cls, state, scope)


class NoSQLModel(Model, abstract=True):
    """A model with the face of a document: ``await User.objects.find_one({"name": "Ada"})``.

    It is stored on any backend, as every model is.
    """

    objects = NoSQLModelManager()
    serializer = NoSQLModelSerializer()

    @property
    def _id(self) -> Any:
        """The key."""
        return mapper_of(type(self)).key_of(self)
