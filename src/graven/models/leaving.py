"""Objects leave as rows: the generated functions that check values and bring them to store form."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from itertools import repeat
from operator import attrgetter

from graven._hints import Any
from graven.core.mapper import UpdateAlone
from graven.models.checks import checker, refuse, suspicious
from graven.models.columns import ROWS_MIN, ColumnEncoders, make_columns
from graven.models.faults import unwritable
from graven.models.fields import DocumentField, ModelField, ReferenceField, ScalarField
from graven.models.source import compile_function

__all__ = ["Codecs", "RowWriter", "key_fields_of"]

Codecs = Mapping[str, Callable[[Any], Any] | None]
"""For each kind of value, the function from one form to the other; ``None`` where both are one."""


def key_fields_of(mapper: Any) -> list[Any]:
    """Return the fields that make the key."""
    return [mapper.field(name) for name in mapper.key_fields]


class RowWriter:
    """The functions that carry the objects of one model to the rows of one kind of backend."""

    def __init__(self, mapper: Any, encoders: Codecs, column_encoders: ColumnEncoders) -> None:
        """Generate the functions of *mapper* for the codec of a backend."""
        self.mapper = mapper
        self._encoders = encoders
        self._column_encoders = column_encoders
        self._columns_of: dict[int, Callable[[Sequence[Any]], Any]] = {}
        self._update_rows: dict[int, Callable[..., tuple[object, ...]]] = {}
        self._updates: dict[int, tuple[tuple[str, ...], Callable[..., tuple[object, ...]]]] = {}
        self._alone: dict[int, UpdateAlone | None] = {}
        self._inserted = [one for one in mapper.fields if one.columns and not one.said.store_made]
        names = [name for field in self._inserted for name in field.columns]
        if mapper.discriminator is not None:
            names.append(mapper.root.discriminator_column)
        self.insert_columns = (*names, mapper.table.version)
        self.insert_row = self._values_function("insert_row", self._inserted, purpose="insert")
        self.key_row = self._key_function()
        self._encodes_key = len(mapper.key_fields) > 1 or bool(
            self._encoder(key_fields_of(mapper)[0])
        )

    def _key_sources(self, names: dict[str, Any]) -> list[str]:
        """Return the source of each part of the variable ``key`` in store form."""
        fields = key_fields_of(self.mapper)
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

    def insert_rows(
        self, objects: Sequence[Any], later: Callable[[Any], Any], versions: Sequence[int]
    ) -> list[tuple[object, ...]]:
        """Return the rows of new objects; each ends with its version."""
        columns = self._columns(-1, objects)
        if columns is None:
            insert_row = self.insert_row
            return [
                insert_row(instance, later, version)
                for instance, version in zip(objects, versions, strict=True)
            ]
        if self.mapper.discriminator is not None:
            columns.append(repeat(self.mapper.discriminator, len(objects)))
        return list(zip(*columns, versions, strict=True))

    def update_rows(
        self,
        bits: int,
        objects: Sequence[Any],
        later: Callable[[Any], Any],
        keys: Sequence[Any],
        versions: Sequence[int],
    ) -> list[tuple[object, ...]]:
        """Return the rows of updates guarded by the version: values, key, version."""
        columns = self._columns(bits, objects)
        if columns is None:
            row = self.update_row(bits)
            return [
                row(instance, later, key, version)
                for instance, key, version in zip(objects, keys, versions, strict=True)
            ]
        columns += zip(*map(self.key_row, keys), strict=True) if self._encodes_key else (keys,)
        return list(zip(*columns, versions, strict=True))

    def _columns(self, bits: int, objects: Sequence[Any]) -> list[Any] | None:
        """Return the columns of the fields in *bits*, those of an insert for -1.

        ``None`` where the rows have to be made singly.
        """
        if len(objects) < ROWS_MIN:
            return None
        found = self._columns_of.get(bits)
        if found is None:
            fields = self._inserted if bits == -1 else self._fields_in(bits)
            found = self._columns_of[bits] = make_columns(
                self.mapper.name, fields, self._encoder, self._column_encoders
            )
        columns: list[Any] | None = found(objects)
        return columns

    def update_alone(self, bits: int) -> UpdateAlone | None:
        """Return how plain fields of one object are updated; ``None`` if they are not plain."""
        try:
            return self._alone[bits]
        except KeyError:
            found = self._alone[bits] = self._update_alone(bits)
            return found

    def _update_alone(self, bits: int) -> UpdateAlone | None:
        mapper, version = self.mapper, self.mapper.table.version
        fields = [field for index, field in enumerate(mapper.fields) if bits >> index & 1]
        are_plain = all(
            field.form == "scalar" and field.name not in mapper.key_fields for field in fields
        )
        if not fields or not are_plain or mapper.guard_mode != "version" or version is None:
            return None
        columns, _ = self.update(bits)
        return bits, columns, (version,), self.update_row(bits)

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
            encoders = [self._encoder(one) for one in key_fields_of(field.target)]
            return [
                encode(one) if encode else one for encode, one in zip(encoders, parts, strict=True)
            ]
        encode = self._encoder(field) if isinstance(field, ScalarField) else None
        return [encode(captured) if encode is not None and captured is not None else captured]

    def _encoder(self, field: ScalarField) -> Callable[[Any], Any] | None:
        """Return the function from value to store form; a float that was checked needs none."""
        if issubclass(field.type.python, enum.Enum):
            return attrgetter("_name_" if field.type.by_name else "_value_")
        if field.type.storage is not None:
            encoder: Callable[[Any], Any] = field.type.storage.encoder
            return encoder(self._encoders[field.type.stored_kind])  # type: ignore[no-any-return]
        return None if field.type.kind == "float" else self._encoders[field.type.kind]

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
        name, python, kind = field.name, field.type.python, field.type.limited_kind
        names[f"T_{name}"] = python
        key_of = self.mapper.key_of
        names[f"check_{name}"] = checker(
            self.mapper.name, name, python, kind, field.nullable, key_of
        )
        value = f"v_{name}"
        body.append(f"{value} = o.{name}")
        indent = ""
        if field.nullable:
            body.append(f"if {value} is not None:")
            indent = "    "
        body.append(f"{indent}if {suspicious(kind, python, value, f'T_{name}')}:")
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
