"""What a document holds beyond what its class declares, kept for the next time it is written."""

from __future__ import annotations

from typing import Any
from weakref import ref

__all__ = ["Opaque", "UnknownFields", "Verbatim", "unknown_fields"]


class Opaque:
    """Stands, inside an unknown field, for an object of a type that is not registered here."""

    __slots__ = ("fields", "name", "version")

    def __init__(self, name: str, version: object) -> None:
        """Begin with no field."""
        self.name, self.version = name, version
        self.fields: dict[str, Any] = {}


class Verbatim:
    """Stands, inside an unknown field, for a single value of a type that is not registered here."""

    __slots__ = ("state",)

    def __init__(self, state: Any) -> None:
        """Keep the document form."""
        self.state = state


class UnknownFields:
    """The unknown fields of objects, by identity; they go when their objects go."""

    def __init__(self) -> None:
        """Start with none."""
        self.entries: dict[int, tuple[ref[Any], dict[str, Any]]] = {}

    def keep(self, instance: Any, fields: dict[str, Any]) -> None:
        """Keep *fields* for as long as *instance* lives.

        :raises TypeError: if the object cannot be referred to weakly.
        """
        key = id(instance)
        entries = self.entries

        def forget(_: Any) -> None:
            entries.pop(key, None)

        entries[key] = ref(instance, forget), fields

    def of(self, instance: Any) -> dict[str, Any]:
        """Return the unknown fields of an object."""
        found = self.entries.get(id(instance))
        return {} if found is None else found[1]

    def drop(self, instance: Any) -> None:
        """Forget those of an object."""
        self.entries.pop(id(instance), None)


#: The unknown fields of all objects that were restored.
unknown_fields = UnknownFields()
