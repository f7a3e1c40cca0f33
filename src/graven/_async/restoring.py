"""Objects of keys and documents: what ``Model.restore`` and ``load`` do in a session."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graven._common.restoring import (
    Level,
    Wish,
    checked_row,
    key_to_load,
    nothing_there,
    of_another_class,
)
from graven._hints import TYPE_CHECKING, Any
from graven.flows.load import fetch_by_keys
from graven.flows.restore import fetch_level
from graven.models.model import mapper_of

if TYPE_CHECKING:
    from graven._async.session import AsyncSession

__all__ = ["joined", "load", "restore"]


async def load(session: AsyncSession, instance: Any) -> None:
    """Read an object anew, bringing it into the session; a new one becomes the stored one.

    :raises NotFoundError: if it is not in the store.
    """
    if instance._origin is not None:
        if session.state(instance) is None:
            session.add(instance)
        await session.refresh(instance)
        return
    key, mapper = key_to_load(instance), mapper_of(type(instance))
    async with session._lock:
        session._take_turn("load an object")
        binding = session._db.binding(mapper.root)
        keys, by = (session._key_tuple(mapper, key),), mapper.table.key
        flow = fetch_by_keys(mapper.table, binding.columns, by, keys, ())
        rows, _ = await session._read(flow)
        image, version = binding.image(checked_row(binding, instance, key, rows))
        session.unit.receive(instance, image, version)


async def restore(
    session: AsyncSession, model: Any, states: Sequence[Any], force: bool, levels_max: int | None
) -> list[Any]:
    """Return the objects of keys or documents, with what they refer to; see ``Model.restore``."""
    session._check_open("restore objects")
    wishes, mapper = [Wish(model.serializer, model, one) for one in states], mapper_of(model)
    for wish in wishes:
        if wish.key is not None:
            session._key_tuple(mapper, wish.key)
    async with session._lock:
        session._take_turn("restore objects")
        found = await _found(session, model, wishes, force)
        documents = [wish for wish in wishes if wish.document is not None]
        if not documents:
            await joined(session, model.serializer, [], {}, found.values(), levels_max)
            return [found[wish.key] for wish in wishes]
        # Only an object can be set, so what the documents themselves refer to is always loaded.
        levels = None if levels_max is None else max(1, levels_max)
        root, keys = mapper.root.model, [one.key for one in documents if one.key in found]
        scope = {(root, key): found.pop(key) for key in keys}
        states = [wish.document for wish in documents]
        async with session.atomic():
            made = await joined(session, model.serializer, states, scope, found.values(), levels)
            for one in made:
                if one._origin is None:
                    session.unit.add(one)
        restored = iter(made)
        return [found[wish.key] if wish.document is None else next(restored) for wish in wishes]


async def _found(
    session: AsyncSession, model: Any, wishes: Sequence[Wish], force: bool
) -> dict[Any, Any]:
    """Return the objects wished for that are stored, by key, and read what the session lacks.

    With *force* what it has is read anew; otherwise it is used as it is, whatever a document says.
    """
    mapper = mapper_of(model)
    keys = list(dict.fromkeys(wish.key for wish in wishes if wish.key is not None))
    had = {key: one for key in keys if (one := session.unit.find(mapper, key)) is not None}
    if force:
        await _renew(session, mapper, list(had.values()))
    root = mapper.root.model
    found: dict[Any, Any] = (await _answers(session, {root: keys}))[root]
    for wish in wishes:
        if wish.key in had and not force:
            wish.document = None
        instance = found.get(wish.key)
        if wish.document is None and not isinstance(instance, model):
            raise nothing_there(model, wish.key)
        if wish.document is None or instance is None:
            continue
        if instance.__class__ is not wish.model:
            raise of_another_class(instance.__class__, wish.model, wish.document)
    return found


async def _renew(session: AsyncSession, mapper: Any, instances: Sequence[Any]) -> None:
    """Read objects of the session anew, all at once, and drop their changes."""
    unit, binding = session.unit, session._db.binding(mapper.root)
    keys = [session._key_tuple(mapper, mapper.key_of(one)) for one in instances]
    if not keys:
        return
    table = mapper.table
    rows, _ = await session._read(fetch_by_keys(table, binding.columns, table.key, keys, ()))
    images = {binding.key_in(row): binding.image(row) for row in rows}
    for one in instances:
        key = mapper.key_of(one)
        if key not in images:
            raise nothing_there(mapper.model, key)
        unit.renew(one, *images[key], keep_changes=False)


async def joined(
    session: AsyncSession,
    serializer: Any,
    states: Sequence[Any],
    scope: Any,
    objects: Iterable[Any],
    levels_max: int | None,
) -> list[Any]:
    """Restore documents, and load what they and *objects* refer to: from the session, or anew."""
    steps = serializer.restoring(
        states, scope, force=True, levels_max=levels_max, objects=list(objects)
    )
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(await _answers(session, wanted))
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


async def _answers(session: AsyncSession, wanted: dict[Any, list[Any]]) -> Any:
    level = Level(session.unit, session._db.binding, wanted)
    questions = level.questions
    return level.answers(await session._read(fetch_level(questions)) if questions else [])
