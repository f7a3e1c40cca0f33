"""``Model.objects``, ``save``, ``load``, ``delete``, ``restore``: models find their session.

What these do is done by the manager that a session, or a database, gives for the model, in its own
colour. Here is only found out whose manager that is.
"""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import Any, NoReturn
from graven.errors import UsageError

__all__ = ["Face", "ModelManager", "manager_of", "objects_for", "places"]


class Places:
    """How the session of the calling task or thread is found; the shells say it."""

    __slots__ = ("current",)

    def __init__(self) -> None:
        """Find none: no session can have been made yet."""
        self.current: Callable[[], Any] = lambda: None


places = Places()  #: what every manager asks


class ModelManager:
    """``Model.objects``: the manager of the model for the current session.

    Read from a model it is an :class:`~graven.Objects` of the session whose block is being run, or
    an :class:`~graven.AsyncObjects` if that session is async. Where there is none, the calls are
    made in sessions of their own, on *database* if one was given::

        class Account(Model):
            objects = ModelManager(db)

    Read from anything but a model that is stored, it is itself.
    """

    __slots__ = ("database",)

    #: Whether the manager passes on what it does not have itself to the collection of the store.
    is_proxy = False

    def __init__(self, database: Any = None) -> None:
        """Fall back on *database* where there is no session."""
        self.database = database

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the manager of the model for the current session."""
        if getattr(owner, "_is_abstract", True):
            return self
        place = places.current()
        place = self.database if place is None else place
        return Nowhere(owner) if place is None else place.objects(owner)


class Nowhere:
    """Stands for the manager of a model where there is neither a session nor a database."""

    __slots__ = ("model",)

    def __init__(self, model: Any) -> None:
        """Stand for the manager of *model*."""
        self.model = model

    def using(self, place: Any) -> Any:
        """Return the manager of the model for a session or a database."""
        return place.objects(self.model)

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise no_place(self.model, f"use {self.model.__name__}.objects.{name}")


class SharedSerializer:
    """Gives the serializer that knows every model; the codec is imported when it is asked for."""

    __slots__ = ()

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return it."""
        from graven.models.documents.serializer import serializer

        return serializer


class Face:
    """What every model can do with itself.

    An object is saved, loaded and deleted by the session that it is part of; otherwise by the
    current one; and where there is none, in a session of its own, on the database that it came
    from, or that the manager of its model names. Of an async session or database the result is to
    be awaited.
    """

    __slots__ = ()

    #: Handles database access.
    objects: Any = ModelManager()

    #: Makes documents of the objects of the model, and objects of documents.
    serializer: Any = SharedSerializer()

    def save(self) -> Any:
        """Write this object and what it needs: ``session.commit(obj)``.

        Pending objects that it refers to are written too, and its children.

        :raises ConcurrentUpdate: if somebody else has changed it since it was read.
        :raises UsageError: if there is no session, and no database is known.
        """
        return objects_for(self.__class__, self, f"save {self!r:.200}").save(self)

    def load(self) -> Any:
        """Read this object anew; a new one that was given a key becomes the stored one.

        Own changes are dropped.

        :raises NotFoundError: if the store does not have it.
        """
        return objects_for(self.__class__, self, f"load {self!r:.200}").load(self)

    def delete(self) -> Any:
        """Delete this object in the store; nothing happens to one that was never written.

        :raises ConcurrentUpdate: if somebody else has changed it since it was read.
        :raises ForeignKeyError: if something refers to it that is to be kept.
        """
        return objects_for(self.__class__, self, f"delete {self!r:.200}").remove(self)

    @classmethod
    def restore(cls, state: Any, force: bool = False, *, levels_max: int | None = None) -> Any:
        """Return the object of a key or a document, with all that it refers to.

        An object that the session has is used as it is. Otherwise it is the one that the store has
        under that key, with the fields set as the document says; what differs is a change that the
        next commit writes. If the store has none, it is a new object. With *force* the object is
        read anew, and set as the document says, in any case.

        References are followed breadth first, one query for a class and level, *levels_max* levels
        deep at most.

        :raises NotFoundError: if there is no object of that key, or a reference leads nowhere.
        :raises DataError: if it is the document of something else, or does not fit the class.
        """
        objects = objects_for(cls, None, f"restore a {cls.__name__}")
        return objects.restore(state, force, levels_max=levels_max)


def manager_of(model: Any) -> ModelManager:
    """Return the manager that a model was given; that of all models, if it means something else."""
    for base in model.__mro__:
        found = base.__dict__.get("objects")
        if isinstance(found, ModelManager):
            return found
    return ModelManager()


def _place(unit: Any, manager: ModelManager) -> Any:
    """Return the session or the database that work is done with; ``None`` if there is none.

    *unit* is the unit of work that the object in question was last part of.
    """
    home = getattr(unit, "home", None)
    if home is not None and unit is not None and unit.is_open:
        session = home[0]()
        if session is not None:
            return session
    place = places.current()
    if place is None and home is not None:
        place = home[1]()
    return manager.database if place is None else place


def objects_for(model: Any, instance: Any, attempted: str) -> Any:
    """Return the manager that is to do something: where *instance* is part of, or anywhere.

    :raises UsageError: if there is neither a session nor a database.
    """
    origin = None if instance is None else instance._origin
    unit = None if origin is None else getattr(origin.unit, "unit", origin.unit)
    place = _place(unit, manager_of(model))
    if place is None:
        raise no_place(model, attempted)
    return place.objects(model)


def no_place(model: Any, attempted: str) -> UsageError:
    """Make the error for work that no session and no database was named for."""
    name = model.__name__
    return UsageError(
        f"cannot {attempted}: there is no current session, and it is not known which database is "
        f"meant. Do it in the block of a session, `with db.session():`; name the database, as in "
        f"{name}.objects.using(db); or give the model one, with `objects = ModelManager(db)`."
    )
