"""What a function was called with, and what it returned, as texts of the codec.

A text is one of :func:`~graven.to_json`. Models in it, at any depth, are references: they are put
back as they are when the text is read. The text of a call has four roots: the positional
arguments, the named ones, what the function is bound to (a list of one, or of none), and the class
that a class method is bound to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID

from graven.errors import DataError, NotSerializableError
from graven.models.checks import INTEGER_MAX, INTEGER_MIN, shown
from graven.models.documents.faults import malformed
from graven.models.documents.flattening import Flattener, is_plain_key
from graven.models.documents.registry import placed_registry
from graven.models.documents.serializer import FORMAT
from graven.models.model import Model

__all__ = ["CallText", "call_text", "read_text", "result_text"]

Met = dict[tuple[Any, Any], Any]
"""The models met, by root model and key."""


class CallText:
    """The text of a call, and the models that it refers to."""

    __slots__ = ("is_flat", "met", "text")

    def __init__(self, text: str, met: Met, is_flat: bool) -> None:
        """Keep the three; *is_flat* says that models are arguments themselves, none is deeper."""
        self.text, self.met, self.is_flat = text, met, is_flat


def call_text(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    bound: Sequence[Any] = (),
    owner: str | None = None,
    names: Sequence[str] = (),
) -> CallText:
    """Return the text of a call; *names* are those of the positional arguments, for errors.

    :raises NotSerializableError: if an argument cannot be stored, naming it.
    """
    met: Met = {}
    text = _flat_call(args, kwargs, bound, owner, met)
    if text is not None:
        return CallText(text, met, True)
    met.clear()
    try:
        text = _written(met, [*args], {**kwargs}, [*bound], owner)
    except DataError as error:
        raise _named(error, args, kwargs, bound, names) from error
    return CallText(text, met, False)


def _flat_call(
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    bound: Sequence[Any],
    owner: str | None,
    met: Met,
) -> str | None:
    """Return the text of a call with models and single plain values; ``None`` if it has others.

    Most calls are such, and writing their text at once takes a fraction of the time.
    """
    try:
        given = ",".join([_WRITERS[type(one)](one, met) for one in args])
        on = ",".join([_WRITERS[type(one)](one, met) for one in bound])
        if not kwargs and owner is None:
            return f'{{"graven":{FORMAT},"roots":[[{given}],{{}},[{on}],null],"nodes":[]}}'
        named = ",".join(
            [f"{_write_key(name)}:{_WRITERS[type(one)](one, met)}" for name, one in kwargs.items()]
        )
        place = "null" if owner is None else _write_text(owner, met)
    except _Deep:
        return None
    return f'{{"graven":{FORMAT},"roots":[[{given}],{{{named}}},[{on}],{place}],"nodes":[]}}'


def result_text(value: Any, name: str, met: Met) -> str:
    """Return the text of what the function *name* returned; models met are put into *met*.

    :raises NotSerializableError: if it cannot be stored.
    """
    try:
        try:
            return f'{{"graven":{FORMAT},"roots":[{_WRITERS[type(value)](value, met)}],"nodes":[]}}'
        except _Deep:
            return _written(met, [value], unwrap=True)
    except DataError as error:
        raise NotSerializableError(
            f"cannot store what {name} returned, {shown(value)} ({type(value).__qualname__}): "
            f"{error} The operation failed, and nothing of it was written. Return plain values, "
            "dataclasses marked with @document_type, models, or nothing."
        ) from error


def read_text(text: str) -> tuple[list[Any], list[Any]]:
    """Return the roots and the nodes of a text.

    :raises DataError: if it is none.
    """
    from msgspec import DecodeError
    from msgspec.json import decode

    try:
        found = decode(text)
    except (DecodeError, RecursionError) as error:
        raise malformed(text, "a text of to_json") from error
    if type(found) is not dict or found.get("graven") != FORMAT:
        raise malformed(found, f"a text of to_json in format {FORMAT}")
    return found["roots"], found["nodes"]


class _Deep(Exception):
    """Raised for a value that has to be written the long way."""


def _write_text(value: str, _: Met) -> str:
    if value.isascii() and value.isprintable() and '"' not in value and "\\" not in value:
        return f'"{value}"'
    from msgspec.json import encode

    try:
        return encode(value).decode()
    except UnicodeEncodeError:
        raise _Deep from None  # where the error is made that names it


def _write_key(name: str) -> str:
    if not is_plain_key(name):
        raise _Deep
    return _write_text(name, {})


def _write_int(value: int, _: Met) -> str:
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise _Deep
    return int.__repr__(value)


def _write_float(value: float, _: Met) -> str:
    if value - value != 0.0:
        raise _Deep
    return float.__repr__(value)


def _write_constant(value: bool | None, _: Met) -> str:
    return "null" if value is None else "true" if value else "false"


class _Writers(dict[type, Callable[[Any, Met], str]]):
    """What writes the values of each type; what writes a model is made when one is first met."""

    def __missing__(self, kind: type) -> Callable[[Any, Met], str]:
        if not issubclass(kind, Model):
            return _deep
        made = self[kind] = _model_writer(kind)
        return made


def _deep(_: Any, __: Met) -> str:
    raise _Deep


def _model_writer(kind: type[Model]) -> Callable[[Any, Met], str]:
    """Make what writes a reference to the objects of a class, whose guard has one of its own."""
    plan = placed_registry.plan(object.__new__(kind).__class__)
    if plan is None:
        return _deep
    mapper = plan.mapper
    root, key_of = mapper.root.model, mapper.key_of
    head = f'{{"__model__":{_write_text(plan.name, {})},"__key__":'
    is_uuid = mapper.plain_key_type is UUID

    def write(value: Any, met: Met) -> str:
        key = key_of(value)
        if is_uuid and type(key) is UUID:
            met[root, key] = value
            return f'{head}{{"__uuid__":"{key.int:032x}"}}}}'
        if type(key) is not int and type(key) is not str:
            raise _Deep
        written = f"{head}{_WRITERS[type(key)](key, met)}}}"
        met[root, key] = value
        return written

    return write


_WRITERS = _Writers(
    {
        str: _write_text,
        int: _write_int,
        float: _write_float,
        bool: _write_constant,
        type(None): _write_constant,
    }
)


def _written(met: Met, *values: Any, unwrap: bool = False) -> str:
    """Write values the long way; models in them are written as references."""
    from msgspec.json import encode

    run = Flattener(placed_registry, frozenset(), met, as_graph=True, follow=False)
    try:
        roots = run.run(*values)
        if unwrap:
            (roots,) = roots
        return encode({"graven": FORMAT, "roots": roots, "nodes": run.nodes}).decode()
    except UnicodeEncodeError as error:
        from graven.models.documents.faults import unwritable

        raise unwritable(
            error.object, "it has a lone surrogate, which is no character; use bytes."
        ) from error


def _named(
    error: DataError,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    bound: Sequence[Any],
    names: Sequence[str],
) -> NotSerializableError:
    """Make the error that names the argument which cannot be stored."""
    titles = [*names[: len(args)], *(f"argument {at}" for at in range(len(names), len(args)))]
    given = [*zip(["self"] * len(bound), bound, strict=True)]
    given += [*zip(titles, args, strict=True), *kwargs.items()]
    title, value = next(
        ((title, value) for title, value in given if not _can_be_written(value)), ("", None)
    )
    return NotSerializableError(
        f"cannot log the operation: its argument {title!r}, {shown(value)} "
        f"({type(value).__qualname__}), cannot be stored, so the call could not be repeated: "
        f"{error} Nothing was run. Give plain values, dataclasses marked with @document_type, or "
        "models that are committed."
    )


def _can_be_written(value: Any) -> bool:
    try:
        _written({}, [value])
    except DataError:
        return False
    return True
