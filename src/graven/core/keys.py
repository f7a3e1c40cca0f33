"""One object per key: what happens when an object is to have a key that another one has."""

from __future__ import annotations

from graven._hints import TYPE_CHECKING, Any
from graven.core.mapper import Mapper
from graven.core.values import ABSENT
from graven.errors import DataError, DuplicateRecordError

if TYPE_CHECKING:
    from graven.core.plan import Group
    from graven.core.tracking import Tracking

__all__ = ["duplicate", "given_keys", "put_back", "unusable", "vacate"]


def given_keys(group: Group) -> list[int]:
    """Return the places in *group*, of new objects, of those whose key was not made for them.

    Somebody has given such a key, and a row may have had it before. What graven made for an object
    is kept in its ``_made``.
    """
    key_of = group.mapper.key_of
    objects = group.objects
    return [at for at, one in enumerate(objects) if getattr(one, "_made", None) is not key_of(one)]


def put_back(mapper: Mapper, instance: Any) -> None:
    """Prepare an object, which was stored and deleted, to be stored with its key again.

    A document is decoded now, for its row is gone. A list has the members that were loaded, or
    none: what joined others to the object went with its row.
    """
    if mapper.table.graven_made and not mapper.table.store_made:
        object.__setattr__(instance, "_made", None)
    for field in (*mapper.references, *mapper.watched):
        if field.form in ("owned", "links"):
            field.raw.__set__(instance, None)
        if field.loaded(instance) is not ABSENT:
            continue
        if field.form == "document":
            field.load(instance)
        elif field.form != "reference":
            field.value.__set__(instance, [])
        elif field.key_in(instance) is None:
            field.value.__set__(instance, None)


def vacate(unit: Tracking, mapper: Mapper, key: Any, other: Any) -> None:
    """Let go of a key that *other*, a new object, was added with and has no more.

    :raises DuplicateRecordError: if it still has the key.
    """
    record = unit.records.get(other)
    now = mapper.key_of(other)
    if record is None or record.clean is not None or now == key:
        raise duplicate(unit, mapper, key, other)
    identity = unit.map_of(mapper)
    holder = None if now is None else identity.get(now)
    if holder is not None and holder is not other:
        raise duplicate(unit, mapper, now, holder)
    del identity.entries[key]
    record.key = now
    if now is not None:
        unit.enter(identity, now, other)


def duplicate(unit: Tracking, mapper: Mapper, key: Any, other: Any) -> DuplicateRecordError:
    """Make the error for a key that another object of the unit has."""
    return DuplicateRecordError(
        f"cannot add {mapper.name} {key!r}: this session has another object with that key, "
        f"{other!r:.200}. There is one object per key; change the one that is there, which "
        "session.get returns, or use another key. If it was deleted, commit that first.",
        table=mapper.table.name,
        row=key,
        state=unit.state(other),
    )


def unusable(mapper: Mapper, key: Any) -> DataError:
    """Make the error for a key that cannot be looked up, because it can change."""
    parts: Any = key if len(mapper.key_fields) > 1 else (key,)
    named = list(zip(mapper.key_fields, parts, strict=True))
    name, part = next((one for one in named if type(one[1]).__hash__ is None), named[0])
    expected = getattr(mapper.field(name).type.python, "__name__", "a plain value")
    return DataError(
        f"cannot add {mapper.name} {key!r:.100}: found a {type(part).__name__} in {name}, expected "
        f"{expected}; a key is never a container. Nothing was written; correct the key.",
        model=mapper.name,
        key=key,
        field=name,
        value=part,
        expected=expected,
    )
