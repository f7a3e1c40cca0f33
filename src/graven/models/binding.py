"""A model joined with a backend: generated functions make objects of rows and rows of objects."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any
from weakref import ref

from graven.core.identity import IdentityMap, Origin
from graven.models.checks import checker, refuse, suspicious
from graven.models.codegen import raw_source
from graven.models.faults import Members, unknown_class, unwritable
from graven.models.fields import DocumentField, ModelField, ReferenceField, ScalarField
from graven.models.source import compile_function

__all__ = ["ModelBinding"]

Codec = Mapping[str, Callable[[Any], Any] | None]


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


class ModelBinding:
    """The functions that carry one model to and from the rows of one kind of backend."""

    def __init__(self, mapper: Any, encoders: Codec, decoders: Codec) -> None:
        """Generate the functions of *mapper* for the codec of a backend."""
        self.mapper = mapper
        self._encoders, self._decoders = encoders, decoders
        self._update_rows: dict[int, Callable[..., tuple[object, ...]]] = {}
        self._updates: dict[int, tuple[tuple[str, ...], Callable[..., tuple[object, ...]]]] = {}
        self.stored_fields = [field for field in mapper.fields if field.columns]
        family = (mapper.root, *mapper.root.subclasses)
        self.columns: tuple[str, ...] = tuple(column.name for column in mapper.table.columns)
        inserted = [field for field in self.stored_fields if not field.said.store_made]
        names = [name for field in inserted for name in field.columns]
        if mapper.discriminator is not None:
            names.append(mapper.root.discriminator_column)
        self.insert_columns = (*names, mapper.table.version)
        self.insert_row = self._values_function("insert_row", inserted, purpose="insert")
        self.key_row = self._key_function()
        self._make_row = {(one.discriminator): self._row_function(one) for one in family}
        flat = self._make_row[None] if len(family) == 1 else None
        self.hydrate = self._flat_hydrate() if flat is not None else self._family_hydrate

    # -- leaving -----------------------------------------------------------------------------------

    def _key_sources(self, names: dict[str, Any]) -> list[str]:
        """Return the source of each part of the variable ``key`` in store form."""
        fields = _key_fields(self.mapper)
        sources = []
        for index, field in enumerate(fields):
            part = "key" if len(fields) == 1 else f"key[{index}]"
            encode = self._encoder(field)
            if encode is not None:
                names[f"encode_key_{index}"] = encode
                part = f"encode_key_{index}({part})"
            sources.append(part)
        return sources

    def _key_function(self) -> Callable[[Any], tuple[object, ...]]:
        """Write ``key_row(key)``: a key in store form."""
        names: dict[str, Any] = {}
        body = [f"return ({''.join(f'{part}, ' for part in self._key_sources(names))})"]
        return compile_function(self.mapper.name, "key_row", "key", body, names)  # type: ignore[no-any-return]

    def update_row(self, bits: int) -> Callable[..., tuple[object, ...]]:
        """Return the function that makes the row of an update guarded by the version."""
        found = self._update_rows.get(bits)
        if found is None:
            fields = self._fields_in(bits)
            found = self._update_rows[bits] = self._values_function("update_row", fields, "update")
        return found

    def _fields_in(self, bits: int) -> list[ModelField]:
        return [
            field
            for index, field in enumerate(self.mapper.fields)
            if bits >> index & 1 and field.columns
        ]

    def update(self, bits: int) -> tuple[tuple[str, ...], Callable[..., tuple[object, ...]]]:
        """Return the columns of the fields whose bits are set, and what makes their values."""
        found = self._updates.get(bits)
        if found is None:
            fields = self._fields_in(bits)
            columns = tuple(name for field in fields for name in field.columns)
            found = self._updates[bits] = columns, self._values_function("values", fields)
        return found

    def clean_row(self, bits: int, image: tuple[Any, ...]) -> tuple[object, ...]:
        """Return the columns of the fields whose bits are set, of an image, in store form."""
        row: list[object] = []
        for index, field in enumerate(self.mapper.fields):
            if bits >> index & 1 and field.columns:
                row.extend(self._encode_captured(field, image[index]))
        return tuple(row)

    def _encode_captured(self, field: ModelField, captured: Any) -> Sequence[object]:
        if isinstance(field, ReferenceField):
            if captured is None:
                return [None] * len(field.columns)
            parts = captured if len(field.columns) > 1 else (captured,)
            encoders = [self._encoder(one) for one in _key_fields(field.target)]
            return [
                encode(one) if encode else one for encode, one in zip(encoders, parts, strict=True)
            ]
        encode = self._encoder(field) if isinstance(field, ScalarField) else None
        return [encode(captured) if encode is not None and captured is not None else captured]

    def _encoder(self, field: ScalarField) -> Callable[[Any], Any] | None:
        """Return the function from value to store form; a float that was checked needs none."""
        if issubclass(field.type.python, enum.Enum):
            return attrgetter("_name_" if field.type.by_name else "_value_")
        return None if field.type.kind == "float" else self._encoders[field.type.kind]

    def _decoder(self, field: ScalarField) -> Callable[[Any], Any] | None:
        if issubclass(field.type.python, enum.Enum):
            return Members(field).__getitem__
        return self._decoders[field.type.kind]

    def _values_function(
        self, title: str, fields: Sequence[ModelField], purpose: str = ""
    ) -> Callable[..., tuple[object, ...]]:
        """Write the function that checks the values of an object and returns them in store form."""
        names: dict[str, Any] = {}
        body: list[str] = []
        results: list[str] = []
        for field in fields:
            if isinstance(field, ReferenceField):
                results += self._reference_source(field, names, body)
            elif isinstance(field, DocumentField):
                names[f"encode_{field.name}"] = field.encode
                body.append(f"v_{field.name} = encode_{field.name}(o, o.{field.name})")
                results.append(f"v_{field.name}")
            elif isinstance(field, ScalarField):
                self._scalar_source(field, names, body)
                results.append(f"v_{field.name}")
        names["unwritable"] = unwritable
        body = ["try:", *(f"    {line}" for line in body or ["pass"])]
        body += [
            "except (AttributeError, OverflowError) as error:",
            "    raise unwritable(o, error)",
        ]
        if purpose == "insert" and self.mapper.discriminator is not None:
            results.append(repr(self.mapper.discriminator))
        signature = "o, later"
        if purpose == "insert":
            results.append("version")
            signature += ", version"
        elif purpose == "update":
            results += [*self._key_sources(names), "version"]
            signature += ", key, version"
        body.append(f"return ({''.join(f'{result}, ' for result in results)})")
        return compile_function(self.mapper.name, title, signature, body, names)  # type: ignore[no-any-return]

    def _scalar_source(self, field: ScalarField, names: dict[str, Any], body: list[str]) -> None:
        name, python = field.name, field.type.python
        names[f"T_{name}"] = python
        key_of = self.mapper.key_of
        names[f"check_{name}"] = checker(
            self.mapper.name, name, python, field.type.kind, field.nullable, key_of
        )
        value = f"v_{name}"
        body.append(f"{value} = o.{name}")
        indent = ""
        if field.nullable:
            body.append(f"if {value} is not None:")
            indent = "    "
        body.append(f"{indent}if {suspicious(field.type.kind, python, value, f'T_{name}')}:")
        body.append(f"{indent}    {value} = check_{name}(o, {value})")
        encode = self._encoder(field)
        if encode is not None:
            names[f"encode_{name}"] = encode
            body.append(f"{indent}{value} = encode_{name}({value})")

    def _reference_source(
        self, field: ReferenceField, names: dict[str, Any], body: list[str]
    ) -> list[str]:
        name, target = field.name, field.target
        value = f"v_{name}"
        parts = [f"p{index}_{name}" for index in range(len(field.columns))]
        names[f"T_{name}"] = target.model
        names[f"refuse_{name}"] = self._reference_refuser(field)
        body += [f"{value} = o.{name}", f"if {value} is None:"]
        if field.nullable:
            body.append("    " + " = ".join([*parts, "None"]))
        else:
            body.append(f"    refuse_{name}(o, {value})")
        body += [
            "else:",
            f"    if not isinstance({value}, T_{name}): refuse_{name}(o, {value})",
        ]
        for part, key_name in zip(parts, target.key_fields, strict=True):
            body.append(f"    {part} = {value}.{key_name}")
            encode = self._encoder(target.field(key_name))
            if target.store_made:
                body.append(f"    if {part} is None: {part} = later({value})")
            elif encode is not None:
                names[f"encode_{part}"] = encode
                body.append(f"    {part} = encode_{part}({part})")
        return parts

    def _reference_refuser(self, field: ReferenceField) -> Callable[[Any, Any], None]:
        expected = field.target.name + (" or None" if field.nullable else "")

        def refuse_value(instance: Any, value: Any) -> None:
            key = self.mapper.key_of(instance)
            raise refuse(self.mapper.name, key, field.name, value, expected)

        return refuse_value

    # -- arriving ----------------------------------------------------------------------------------

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
                    for source, part in zip(columns, _key_fields(field.target), strict=True)
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
            key = _key_in(mapper, image)
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
        return _key_in(self.mapper, self.image(row)[0])


def _key_fields(mapper: Any) -> list[Any]:
    return [mapper.field(name) for name in mapper.key_fields]


def _key_in(mapper: Any, image: tuple[Any, ...]) -> Any:
    parts = tuple(image[mapper.field_index[name]] for name in mapper.key_fields)
    return parts[0] if len(parts) == 1 else parts
