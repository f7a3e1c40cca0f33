"""The registry face: the current unit of work, and functions that act on it.

A unit of work is a session with ``autoadd`` on: objects become part of the current one by being
made. :data:`uow` keeps one for every task, or for every thread, or one for the application, and
makes it at first use::

    objectstore.bind(Database("sqlite:///bank.db"))
    account = Account(owner="Ada")        # new in objectstore.uow()
    objectstore.begin()
    account.balance = 5
    objectstore.commit()                  # what changed since begin()

With an :class:`~graven.AsyncDatabase` the functions that talk to the store return what is to be
awaited: ``await objectstore.commit()``. The block of a session goes before the registry: what is
made in ``with db.session()`` belongs to that session, or to none.
"""

from __future__ import annotations

import sys
from threading import current_thread
from weakref import WeakKeyDictionary

from graven._common.current import fall_back_on
from graven._hints import Any
from graven.errors import UsageError

__all__ = [
    "UnitOfWork",
    "UnitOfWorkRegistry",
    "begin",
    "bind",
    "clear",
    "commit",
    "delete",
    "has_key",
    "import_instance",
    "rollback",
    "uow",
]

SCOPES = ("task", "thread", "application")


class UnitOfWork:
    """A unit of work of one's own: a session of the bound database with ``autoadd`` on.

    To let new objects join it, make it the current one with ``uow.set(u)``.
    """

    def __new__(cls) -> Any:
        """Open the session.

        :raises UsageError: if no database is bound.
        """
        return _bound().session(autoadd=True)


class UnitOfWorkRegistry:
    """Keeps the current unit of work; call it to get that, made at first use.

    With the scope ``"task"`` each task has one of its own, child tasks included, and so has each
    thread outside of tasks; with ``"thread"`` all tasks of a thread share one; with
    ``"application"`` there is only one. A finished task or thread leaves nothing behind.
    """

    def __init__(self) -> None:
        """Start with none."""
        self._scope = "task"
        self._units: WeakKeyDictionary[Any, Any] = WeakKeyDictionary()

    @property
    def defaultscope(self) -> str:
        """Whose the current unit of work is: ``"task"``, ``"thread"`` or ``"application"``."""
        return self._scope

    @defaultscope.setter
    def defaultscope(self, scope: str) -> None:
        if scope not in SCOPES:
            raise UsageError(
                f"cannot use {scope!r} as the scope of the current unit of work. It belongs to a "
                "'task', to a 'thread' or to the 'application'."
            )
        self._scope = scope

    def __call__(self) -> Any:
        """Return the current unit of work, made if there is none or the last one was closed.

        :raises UsageError: if no database is bound.
        """
        owner = self._owner()
        found = self._units.get(owner)
        if found is None or not found.unit.is_open:
            found = self._units[owner] = UnitOfWork()
        return found

    def set(self, unit: Any) -> None:
        """Make *unit* the current one."""
        self._units[self._owner()] = unit

    def clear(self) -> None:
        """Let the current unit of work go, with what was not committed; the next use makes one."""
        found = self._units.get(self._owner())
        if found is not None:
            found.clear()
            del self._units[self._owner()]

    def drop_all(self) -> None:
        """Let go of every unit of work, as when another database is bound."""
        self._units.clear()

    def _owner(self) -> Any:
        if self._scope == "application":
            return self
        return (_current_task() if self._scope == "task" else None) or current_thread()


def _current_task() -> Any:
    """Return the running task; ``None`` outside of any, and where asyncio was never imported."""
    asyncio = sys.modules.get("asyncio")
    try:
        return None if asyncio is None else asyncio.current_task()
    except RuntimeError:
        return None


uow = UnitOfWorkRegistry()
"""The registry: ``uow()`` is the current unit of work."""

_databases: list[Any] = []


def bind(db: Any) -> None:
    """Name the database that units of work are made on; ``None`` ends that.

    From then on objects that are made outside of any session's block are new in the current unit
    of work.
    """
    uow.drop_all()
    _databases[:] = [] if db is None else [db]
    fall_back_on(None if db is None else uow)


def _bound() -> Any:
    if not _databases:
        raise UsageError(
            "cannot make a unit of work: no database is bound, so it is not known where it would "
            "be written. Call objectstore.bind(db) once, before the first use."
        )
    return _databases[0]


def begin() -> Any:
    """Begin a scope in the current unit of work: only what changes from now on is committed.

    Scopes stack; the scope returned can be used as a block.
    """
    return uow().begin()


def commit(*objects: Any) -> Any:
    """Write what changed in the innermost scope and end it; with *objects*, only these."""
    return uow().commit(*objects)


def rollback() -> Any:
    """Take back everything that was not committed, in all scopes."""
    return uow().rollback()


def clear() -> None:
    """Forget every object, change and scope of the current unit of work; nothing is written."""
    uow().clear()


def delete(*objects: Any) -> None:
    """Mark objects as to be deleted at the next commit."""
    uow().delete(*objects)


def has_key(model: type[Any], key: Any) -> bool:
    """Say whether the current unit of work has the object of *model* with that key."""
    return uow().has_key(model, key)  # type: ignore[no-any-return]


def import_instance(instance: Any) -> Any:
    """Bring in an object of another session; return the one to be used from now on."""
    return uow().import_instance(instance)
