"""How the unit of work sees a model: a table, fields, and the functions generated for the class.

A mapper is made by :mod:`graven.models`; the unit of work and the planner know models only through
it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from graven._hints import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from graven.core.identity import IdentityMap
    from graven.ops.schema import Table

__all__ = ["Binding", "Mapper", "UpdateAlone"]

UpdateAlone = tuple[int, tuple[str, ...], tuple[str, ...], Callable[..., tuple[object, ...]]]
"""An update of one object: the fields as bits, columns, guards, and what makes the row."""


class Mapper:
    """One model class as the unit of work sees it.

    The ``form`` of a field is ``"scalar"``, ``"reference"``, ``"document"`` (a container or an
    embedded value, stored as text), ``"owned"`` or ``"links"``. The last three are *watched*: they
    can change in place. A *captured* value is what the undo of a scope and the clean image of a
    record keep: the value of a scalar, the key of a reference, the text of a document, the tuple of
    members of a list.
    """

    __slots__ = (
        "adopt",
        "changed",
        "discriminator",
        "field_index",
        "fields",
        "guard",
        "guard_mode",
        "has_strangers",
        "key_fields",
        "key_of",
        "link_ends",
        "model",
        "name",
        "peers_matter",
        "references",
        "referrers",
        "root",
        "set_key",
        "set_origin",
        "snapshot",
        "table",
        "watched",
    )

    model: type[Any]
    guard: type[Any]
    name: str
    table: Table
    root: Mapper
    guard_mode: str
    store_made: bool
    discriminator: str | None
    fields: tuple[Any, ...]
    field_index: dict[str, int]
    key_fields: tuple[str, ...]
    references: tuple[Any, ...]
    watched: tuple[Any, ...]
    referrers: list[tuple[Mapper, Any]]
    link_ends: list[tuple[Table, tuple[str, ...]]]
    peers_matter: bool
    key_of: Callable[[Any], Any]
    set_key: Callable[[Any, Any], None]
    set_origin: Callable[[Any, Any], None]
    snapshot: Callable[[Any], tuple[Any, ...]]
    changed: Callable[[Any, tuple[Any, ...]], int]
    adopt: Callable[[Any], None]
    has_strangers: Callable[[Any], bool]

    def __repr__(self) -> str:
        return f"<mapper of {self.name}>"

    def field(self, name: str) -> Any:
        """Return the field of that *name*; ``KeyError`` if there is none."""
        return self.fields[self.field_index[name]]


class Binding(Protocol):
    """A mapper joined with a backend's codec: generated functions from objects to rows and back.

    *later* is called with a referenced object that has no key yet, and returns what stands for its
    key. A row to be inserted ends with the version given.
    """

    mapper: Mapper
    columns: tuple[str, ...]
    insert_columns: tuple[str, ...]
    hydrate: Callable[[Any, Any, IdentityMap, bool], list[Any]]
    key_row: Callable[[Any], tuple[object, ...]]

    def update(self, bits: int) -> tuple[tuple[str, ...], Callable[..., tuple[object, ...]]]:
        """Return the columns of the fields whose bits are set, and what makes their values."""
        raise NotImplementedError

    def insert_rows(
        self, objects: Sequence[Any], later: Callable[[Any], Any], versions: Sequence[int]
    ) -> list[tuple[object, ...]]:
        """Return the rows of new objects; each ends with its version."""
        raise NotImplementedError

    def update_rows(
        self,
        bits: int,
        objects: Sequence[Any],
        later: Callable[[Any], Any],
        keys: Sequence[Any],
        versions: Sequence[int],
    ) -> list[tuple[object, ...]]:
        """Return the rows of updates guarded by the version: values, key, version."""
        raise NotImplementedError

    def update_alone(self, bits: int) -> UpdateAlone | None:
        """Return how the fields in *bits* of one object are updated, if that is all there is to it.

        ``None`` if nothing has changed, or for keys, references, containers and other guards.
        """
        raise NotImplementedError

    def image(self, row: tuple[Any, ...]) -> tuple[tuple[Any, ...], int]:
        """Return the captured image and the version of a fetched row."""
        raise NotImplementedError

    def clean_row(self, bits: int, image: tuple[Any, ...]) -> tuple[object, ...]:
        """Return the columns of the fields whose bits are set, of an image, in store form."""
        raise NotImplementedError
