"""Documents that are too large are refused before they are sent.

Only texts, bytes and containers can be large. Documents are measured where one of these is; what is
large by many small parts, or by what is there already, the server refuses.
"""

from __future__ import annotations

from collections.abc import Sequence

from bson import encode

from graven._hints import Any
from graven.dialects.mongo_codec import OPTIONS
from graven.dialects.mongo_commands import Document
from graven.dialects.mongo_fields import KEY
from graven.errors import DataError
from graven.ops.requests import Row
from graven.ops.schema import Table

__all__ = ["SIZE_MAX", "check_sizes"]

SIZE_MAX = 16 * 1024 * 1024
"""How large a document may be, in bytes."""

SUSPICIOUS = 1024 * 1024
"""From this length on of one value its document is measured."""

_LONG = frozenset({"str", "bytes", "json"})


def check_sizes(
    table: Table, columns: Sequence[str], rows: Sequence[Row], documents: Sequence[Document]
) -> None:
    """See that none of *documents*, made of *columns* of *rows*, is too large.

    :raises DataError: if one is.
    """
    long = [at for at, name in enumerate(columns) if table.column(name).kind in _LONG]
    if all(_longest(rows, at) < SUSPICIOUS for at in long):
        return
    for document in documents:
        size = len(encode(document, codec_options=OPTIONS))
        if size > SIZE_MAX:
            raise DataError(
                f"a document of {size:,} bytes was to be written into {table.name!r}: MongoDB "
                "takes 16 MB; usually a list, or bytes, that grows is kept in one field; keep the "
                "parts as objects of their own, or the bytes as a file. Nothing of it was sent",
                model=table.name,
                key=document.get(KEY),
                expected="a document of at most 16 MB",
            )


def _longest(rows: Sequence[Row], at: int) -> int:
    values: list[Any] = [row[at] for row in rows]
    return max((len(value) for value in values if value is not None), default=0)
