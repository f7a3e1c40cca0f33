"""Texts, parameters and rows: from graven's form to that of libpq, and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b

from psycopg import Cursor, ProgrammingError, adapters
from psycopg.adapt import AdaptersMap, PyFormat, Transformer
from psycopg.copy import Copy
from psycopg.pq import ExecStatus
from psycopg.types.string import TextBinaryLoader, TextLoader

from graven._hints import TYPE_CHECKING, Any, cast
from graven.drivers.postgres_values import parameter
from graven.ops.requests import Row

if TYPE_CHECKING:
    from psycopg.abc import Buffer
    from psycopg.pq.abc import PGresult

__all__ = ["Answer", "Call", "Shape", "copied", "name_of", "shape_of", "shape_of_callers"]

_MARK = re.compile(r"%(?:s|\((?P<name>[^)]*)\)s|(?P<other>.?))", re.DOTALL)


def _make_adapters() -> AdaptersMap:
    """Return psycopg's adapters, but for JSON, which is kept as the text that it is."""
    ours = AdaptersMap(adapters)
    ours.register_loader("json", TextLoader)
    ours.register_loader("jsonb", TextLoader)
    ours.register_loader("json", TextBinaryLoader)
    return ours


_ADAPTERS = _make_adapters()
_SPELLER = Transformer(_ADAPTERS)


LONG_ARRAY_MIN = 100
"""A statement with an array of this length or more is planned for its values, not prepared. One
that is prepared is soon planned for any length, which the server takes for ten values: then it
looks for each of ten thousand rows in an index, one by one."""


class Call:
    """One statement to be sent.

    *parameters* are in store form; those of a statement of the caller's own are *typed*: the server
    is told what the Python type of each means.
    """

    __slots__ = ("is_binary", "is_typed", "parameters", "text")

    def __init__(
        self, text: str, parameters: Any = (), is_binary: bool = False, is_typed: bool = False
    ) -> None:
        """Keep what is to be sent; *is_binary* asks for rows in binary form, which is quicker."""
        self.text = text
        self.parameters = parameters
        self.is_binary = is_binary
        self.is_typed = is_typed

    @property
    def is_long(self) -> bool:
        """Whether one of the parameters is a long array."""
        return any(
            value.__class__ is list and len(value) >= LONG_ARRAY_MIN for value in self.parameters
        )

    def spelled(self, shape: Shape) -> Sequence[Any] | None:
        """Return the parameters as libpq takes them."""
        try:
            if self.is_typed:
                return shape.typed(self.parameters)
            return [parameter(value, _SPELLER) for value in self.parameters]
        except UnicodeError:
            raise
        except ValueError as error:  # Python spells no integer of more than 4300 digits
            raise OverflowError("a number is too large") from error


class Answer:
    """What a statement was answered: its rows, the number of rows touched, names of columns."""

    __slots__ = ("columns", "count", "rows")

    def __init__(self, rows: list[Row], count: int, columns: tuple[str, ...]) -> None:
        """Keep the answer."""
        self.rows, self.count, self.columns = rows, count, columns


class Shape:
    """What is known of one text: how libpq takes it, and how its rows are loaded.

    *names* are those of its parameters, if they have any; ``name`` is its own, if it is prepared.
    """

    __slots__ = ("_loaders", "formats", "is_prepared", "name", "names", "query", "types")

    def __init__(self, query: bytes, names: tuple[str, ...]) -> None:
        """Begin with a text that is not prepared."""
        self.query = query
        self.names = names
        self.name = b""
        self.is_prepared = False
        self.types: Sequence[int] | None = None
        self.formats: Any = None
        self._loaders: Any = None

    def typed(self, parameters: Any) -> Sequence[Any] | None:
        """Return *parameters* as libpq takes them, and note their types."""
        if not parameters:
            return None
        if self.names:
            parameters = [parameters[name] for name in self.names]
        transformer = Transformer(_ADAPTERS)
        values = transformer.dump_sequence(parameters, [PyFormat.AUTO] * len(parameters))
        self.types, self.formats = transformer.types, transformer.formats
        return values

    def answer(self, call: Call, result: PGresult) -> Answer:
        """Return what *result* says."""
        count = result.command_tuples
        if result.status != ExecStatus.TUPLES_OK:
            return Answer([], -1 if count is None else count, ())
        loaders = self._loaders
        if loaders is None or not self.is_prepared:
            loaders = self._loaders = cast(Any, Transformer(_ADAPTERS))
            loaders.set_pgresult(result)
        else:
            loaders.set_pgresult(result, set_loaders=False)
        rows = loaders.load_rows(0, result.ntuples, cast(Any, tuple))
        columns: tuple[str, ...] = ()
        if call.is_typed:
            columns = tuple((result.fname(at) or b"").decode() for at in range(result.nfields))
        return Answer(rows, result.ntuples if count is None else count, columns)


def shape_of(text: str) -> Shape:
    """Return the shape of a text of the dialect's."""
    query, names, _ = _converted(text)
    return Shape(query, names)


def name_of(query: bytes) -> bytes:
    """Return the name of a prepared statement: of no other text, whoever else prepares any.

    Behind a pooler that nobody has told of, a statement may meet those of other clients.
    """
    return b"graven_" + blake2b(query, digest_size=12).hexdigest().encode()


def shape_of_callers(text: str, parameters: Any) -> Shape:
    """Return the shape of a statement of the caller's own; without parameters a ``%`` is itself.

    :raises ProgrammingError: if the parameters are not those that it asks for.
    """
    if parameters is None:
        return Shape(text.encode(), ())
    query, names, count = _converted(text)
    is_by_name = isinstance(parameters, Mapping)
    if count if is_by_name else names:
        raise ProgrammingError("parameters go either by name, %(name)s, or by place, %s")
    if is_by_name and (missing := set(names) - parameters.keys()):
        raise ProgrammingError(f"parameters are missing: {', '.join(sorted(missing))}")
    if not is_by_name and count != len(parameters):
        raise ProgrammingError(f"the statement has {count} parameters, given are {len(parameters)}")
    return Shape(query, names)


def _converted(text: str) -> tuple[bytes, tuple[str, ...], int]:
    """Return *text* with ``$1`` for ``%s``, the names of its parameters, and how many have none."""
    names: dict[str, int] = {}
    count = 0

    def mark(found: re.Match[str]) -> str:
        nonlocal count
        if found["other"] == "%":
            return "%"
        if found["other"] is not None:
            raise ProgrammingError(
                f"the placeholder {found[0]!r} is none; write %s or %(name)s, and %% for a percent "
                f"sign"
            )
        if found["name"] is not None:
            return f"${names.setdefault(found['name'], len(names) + 1)}"
        count += 1
        return f"${count}"

    query = _MARK.sub(mark, text)
    return query.encode(), tuple(names), count


def copied(connection: Any, types: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[Buffer]:
    """Return *rows*, with columns of these *types*, as blocks of the binary form of ``copy``."""
    copy = Copy(Cursor(connection), binary=True)
    # The binary form of json is that of a text, and a text is what it is here.
    copy.set_types(["text" if name == "json" else name for name in types])
    written = [block for block in map(copy.formatter.write_row, rows) if block]
    return [*written, copy.formatter.end()]
