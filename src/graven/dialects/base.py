"""What every dialect is: forms of values, and what its store is able to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from graven._hints import Any
from graven.errors import DataError, GravenError

__all__ = ["Codec", "Dialect"]

Codec = Callable[[Any], Any]
"""Turns a value from Python form into store form, or back; never called with ``None``."""


class Dialect:
    """The forms of values, and what the store is able to do; pure, safe to share between threads.

    ``encoders`` and ``decoders`` have, for each kind of value, the function from Python form to
    store form, and back; ``None`` where both forms are the same. They are never given ``None``.
    ``column_encoders`` has, for some kinds, a quicker way for many values at once, which replies
    ``None`` if one of them has to be looked at singly.
    """

    encoders: Mapping[str, Codec | None]
    decoders: Mapping[str, Codec | None]
    column_encoders: Mapping[str, Callable[[list[Any]], list[Any] | None]] = {}
    applies = False  #: whether the driver performs ``Apply``
    savepoints = True  #: whether a part of a transaction can be undone by itself
    has_documents = False  #: whether it has filters and pipelines of its own
    undoes_tables = True  #: whether tables are made within transactions, and undone with them

    def encode(self, kind: str, value: object) -> object:
        """Return *value* in store form; ``DataError`` if it is not of that *kind*."""
        encoder = self.encoders[kind]
        if encoder is None or value is None:
            return value
        try:
            return encoder(value)
        except GravenError:
            raise
        except Exception as error:
            raise DataError(
                f"a value was to be stored, or compared, as {kind}, but {value!r} is not one; "
                "usually it has another type than its field; give a value of that type",
                value=value,
                expected=kind,
            ) from error
