"""A model joined with a backend: generated functions make objects of rows and rows of objects."""

from __future__ import annotations

import enum
from collections.abc import Callable
from weakref import ref

from graven._hints import Any
from graven.core.identity import IdentityMap, Origin
from graven.core.tracking import clean_key
from graven.models.codegen import raw_source
from graven.models.columns import ColumnEncoders
from graven.models.faults import Members, unknown_class
from graven.models.fields import ModelField, ReferenceField, ScalarField
from graven.models.leaving import Codecs, RowWriter, key_fields_of
from graven.models.source import compile_function

__all__ = ["ModelBinding"]


_FIND_OR_MAKE = (
    "    entry = get(key)",
    "    if entry is None:",
    "        version = stored",
    "        if absent and key in absent: version = 0",
    "        elif version != usual:",
    "            if usual is None: usual = identity.usual = version",
    "            else: versions[key] = version",
    "    else:",
    "        o = entry()",
    "        if o is not None:",
    "            append(o)",
    "            continue",
    "        version = 0 if key in absent else versions.get(key, usual)",
    "    if version != last:",
    "        last = version",
    "        origin = origins.get(version)",
    "        if origin is None:",
    "            made = Origin(unit, version, members) if peers else unit.origin(version)",
    "            origin = origins[version] = made",
    "    o = new(plain)",
)
"""The middle of ``hydrate``: the object that is there already, or a new one and its origin."""


class ModelBinding(RowWriter):
    """The functions that carry one model to and from the rows of one kind of backend."""

    def __init__(
        self, mapper: Any, encoders: Codecs, decoders: Codecs, column_encoders: ColumnEncoders
    ) -> None:
        """Generate the functions of *mapper* for the codec of a backend."""
        super().__init__(mapper, encoders, column_encoders)
        self._decoders = decoders
        family = (mapper.root, *mapper.root.subclasses)
        self.columns: tuple[str, ...] = tuple(column.name for column in mapper.table.columns)
        self._make_row = {(one.discriminator): self._row_function(one) for one in family}
        flat = self._make_row[None] if len(family) == 1 else None
        self.hydrate = self._flat_hydrate() if flat is not None else self._family_hydrate

    def _decoder(self, field: ScalarField) -> Callable[[Any], Any] | None:
        if issubclass(field.type.python, enum.Enum):
            return Members(field).__getitem__
        decode, storage = self._decoders[field.type.stored_kind], field.type.storage
        return decode if storage is None else storage.decoder(decode)

    def _raw_sources(self, mapper: Any, names: dict[str, Any]) -> list[tuple[ModelField, str]]:
        """Return, for each field, the source that makes its raw form of a row's columns."""
        positions = {name: index for index, name in enumerate(self.columns)}
        sources = []
        for field in mapper.fields:
            columns = [f"c{positions[name]}" for name in field.columns]
            if not columns:
                sources.append((field, "None"))
            elif isinstance(field, ScalarField):
                decode = self._decoder(field)
                sources.append(
                    (field, self._decoded(field.name, decode, columns[0], field.nullable, names))
                )
            elif isinstance(field, ReferenceField):
                parts = [
                    self._decoded(
                        field.name,
                        self._decoder(part),
                        source,
                        field.nullable,
                        names,
                    )
                    for source, part in zip(columns, key_fields_of(field.target), strict=True)
                ]
                whole = parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
                if len(parts) > 1:
                    whole = f"None if {columns[0]} is None else {whole}"
                sources.append((field, whole))
            else:
                sources.append((field, columns[0]))
        return sources

    @staticmethod
    def _decoded(
        name: str,
        decode: Callable[[Any], Any] | None,
        source: str,
        nullable: bool,
        names: dict[str, Any],
    ) -> str:
        if decode is None:
            return source
        if decode is bool:
            decoded = f"{source} != 0"
        else:
            title = f"decode_{len(names)}_{name}"
            names[title] = decode
            decoded = f"{title}({source})"
        return f"None if {source} is None else {decoded}" if nullable else decoded

    def _row_function(self, mapper: Any) -> Callable[..., tuple[Any, ...]]:
        """Write ``image(row)``: the captured form of every field of *mapper*."""
        names: dict[str, Any] = {}
        sources = self._raw_sources(mapper, names)
        columns = ", ".join(f"c{index}" for index in range(len(self.columns)))
        body = [f"{columns}, = row", f"return ({''.join(f'{source}, ' for _, source in sources)})"]
        return compile_function(mapper.name, "image", "row", body, names)  # type: ignore[no-any-return]

    def _flat_hydrate(self) -> Callable[[Any, Any, IdentityMap, bool], list[Any]]:
        """Write ``hydrate(rows, unit, identity, peers)`` for a model alone in its table."""
        mapper = self.mapper
        names: dict[str, Any] = {
            "new": object.__new__,
            "plain": mapper.model,
            "guard": mapper.guard,
            "ref": ref,
            "Origin": Origin,
        }
        sources = dict(self._raw_sources(mapper, names))
        keys = [sources[mapper.field(name)] for name in mapper.key_fields]
        key = keys[0] if len(keys) == 1 else f"({', '.join(keys)})"
        last = len(self.columns) - 1
        columns = ", ".join([*(f"c{index}" for index in range(last)), "stored"])
        body = [
            "entries = identity.entries",
            "get = entries.get",
            "usual = identity.usual",
            "versions = identity.versions",
            "absent = identity.absent",
            "members = [] if peers else None",
            "origins = {}",
            "last = origin = None",
            "found = []",
            "append = found.append",
            f"for {columns} in rows:",
            f"    key = {key}",
            *_FIND_OR_MAKE,
        ]
        for field, source in sources.items():
            is_key = field.name in mapper.key_fields and len(keys) == 1
            body.append(f"    {raw_source(field)} = {'key' if is_key else source}")
        body += [
            "    o._origin = origin",
            "    o.__class__ = guard",
            "    entries[key] = ref(o)",
            "    append(o)",
            "if peers: members[:] = map(ref, found)",
            "return found",
        ]
        return compile_function(mapper.name, "hydrate", "rows, unit, identity, peers", body, names)  # type: ignore[no-any-return]

    def _family_hydrate(
        self, rows: Any, unit: Any, identity: IdentityMap, peers: bool
    ) -> list[Any]:
        """Make objects of rows of a table that several classes share."""
        classes = {
            one.discriminator: one for one in (self.mapper.root, *self.mapper.root.subclasses)
        }
        kind_at = self.columns.index(self.mapper.root.discriminator_column)
        members: list[Any] | None = [] if peers else None
        found = []
        for row in rows:
            mapper = classes.get(row[kind_at])
            if mapper is None:
                raise unknown_class(self.mapper.root, row[kind_at])
            image = self._make_row[mapper.discriminator](row)
            key = clean_key(mapper, image)
            instance = identity.get(key)
            if instance is None:
                version = identity.version(key)
                if version is None:
                    version = row[-1]
                    identity.remember(key, version)
                instance = object.__new__(mapper.guard)
                for field, raw in zip(mapper.fields, image, strict=True):
                    field.renew(instance, raw)
                origin = Origin(unit, version, members) if peers else unit.origin(version)
                object.__setattr__(instance, "_origin", origin)
                identity.entries[key] = ref(instance)
            found.append(instance)
        if members is not None:
            members[:] = map(ref, found)
        return found

    def image(self, row: tuple[Any, ...]) -> tuple[tuple[Any, ...], int]:
        """Return the captured image and the version of a fetched row."""
        kind = None
        if self.mapper.discriminator is not None:
            kind = row[self.columns.index(self.mapper.root.discriminator_column)]
        return self._make_row[kind](row), row[-1]

    def key_in(self, row: tuple[Any, ...]) -> Any:
        """Return the key of a fetched row."""
        return clean_key(self.mapper, self.image(row)[0])
