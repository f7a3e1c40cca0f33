"""The tables of models: one for a family of classes, and one for each many-to-many list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graven._hints import Any
from graven.core.mapper import Mapper
from graven.errors import MappingError
from graven.models.fields import LinksField, ReferenceField
from graven.ops.schema import Column, Reference, Table

__all__ = ["make_link_tables", "make_table", "snake_case", "table_name", "tables_of"]


def snake_case(name: str) -> str:
    """Return a class name in snake case: ``HTTPServer`` becomes ``http_server``."""
    letters: list[str] = []
    for index, letter in enumerate(name):
        after_lower = index > 0 and name[index - 1].islower()
        before_lower = 0 < index < len(name) - 1 and name[index + 1].islower()
        if letter.isupper() and (after_lower or (before_lower and name[index - 1] != "_")):
            letters.append("_")
        letters.append(letter.lower())
    return "".join(letters)


def table_name(model: Any) -> str:
    """Return the name of the table of a root model."""
    return str(model._options.get("table") or snake_case(model.__name__))


def _free_name(wanted: str, taken: Iterable[str]) -> str:
    return wanted if wanted not in {name.casefold() for name in taken} else f"_{wanted}"


def _columns(root: Any, family: Sequence[Any]) -> dict[str, Column]:
    """Join the columns of the family; those that only some of its classes have may be null."""
    columns: dict[str, Column] = {}
    shared = {column for field in root.fields for column in field.columns}
    for mapper in family:
        for field in mapper.fields:
            for column in field.column_values:
                may_lack = column.name not in shared
                known = columns.get(column.name) or column
                columns[column.name] = _joined(known, column, may_lack)
                if known.kind != column.kind:
                    raise MappingError(
                        f"cannot lay out table {table_name(root.model)!r}: column {column.name!r} "
                        f"would hold {known.kind} for one class "
                        f"and {column.kind} for {mapper.name}. Classes that share a table share "
                        "its columns: rename one of the fields.",
                        model=mapper.name,
                        field=field.name,
                    )
    return columns


def _joined(known: Column, column: Column, may_lack: bool) -> Column:
    """Return a column that has room for what two classes of a family keep in it."""
    choices = known.choices + tuple(one for one in column.choices if one not in known.choices)
    return Column(
        known.name,
        known.kind,
        known.nullable or column.nullable or may_lack,
        known.unique or column.unique,
        known.index or column.index,
        choices if known.choices and column.choices else (),
        known.renamed_from or column.renamed_from,
    )


def _reference(field: ReferenceField) -> Reference:
    target = field.target
    names = tuple(column.name for column in target.key_columns)
    return Reference(field.columns, table_name(target.root.model), names, field.said.on_delete)


def _column_groups(family: Sequence[Any], option: str, flag: str) -> tuple[tuple[str, ...], ...]:
    """Turn the field names of a class option into column names, each group once.

    A reference of several columns that is declared so is a group too.
    """
    groups: dict[tuple[str, ...], None] = {}
    for mapper in family:
        for names in mapper.model._options.get(option, ()):
            listed = (names,) if isinstance(names, str) else names
            groups[tuple(_columns_named(mapper, option, listed))] = None
        for field in mapper.references:
            if len(field.columns) > 1 and getattr(field.said, flag):
                groups[field.columns] = None
    return tuple(groups)


def _columns_named(mapper: Any, option: str, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        columns = mapper.field(name).columns if name in mapper.field_index else ()
        if not columns:
            raise MappingError(
                f"cannot lay out {mapper.name}: its option {option} names {name!r}, which is no "
                "field of it that has a column. Give tuples of names of fields, as in "
                f"{option}=(('owner', 'number'),).",
                model=mapper.name,
                field=name,
            )
        yield from columns


def make_table(root: Any, family: Sequence[Any]) -> Table:
    """Lay out the table of *root* and its subclasses: key, fields, discriminator, version."""
    columns = _columns(root, family)
    key = tuple(column.name for column in root.key_columns)
    if len(family) > 1:
        name = _free_name("type", tuple(columns))
        columns[name] = Column(name, "str")
        root.discriminator_column = name
    else:
        root.discriminator_column = None
    version = _free_name("version", tuple(columns))
    ordered = [columns.pop(name) for name in key] + list(columns.values())
    ordered.append(Column(version, "int"))
    references: dict[tuple[str, ...], Reference] = {}
    for mapper in family:
        for field in mapper.fields:
            if isinstance(field, ReferenceField):
                references.setdefault(field.columns, _reference(field))
    return Table(
        name=table_name(root.model),
        columns=tuple(ordered),
        key=key,
        version=version,
        store_made=root.store_made,
        graven_made=_is_graven_made(root),
        references=tuple(references.values()),
        uniques=_column_groups(family, "unique", "unique"),
        indexes=_column_groups(family, "indexes", "index"),
    )


def _is_graven_made(root: Any) -> bool:
    """Say whether no key ever comes back: the default UUID, or one that the store counts up."""
    return root.store_made or not any(said.is_key for _, said in root.model._declared.values())


def make_link_tables(family: Sequence[Any]) -> None:
    """Lay out the table of pairs of each many-to-many list."""
    for mapper in family:
        for field in mapper.fields:
            if isinstance(field, LinksField):
                table = field.link_table = _link_table(mapper, field)
                mapper.root.link_ends.append((table, field.owner_columns))
                field.target.root.link_ends.append((table, field.member_columns))


def _link_table(mapper: Mapper, field: LinksField) -> Table:
    left = _side(mapper.root, table_name(mapper.root.model))
    right_name = table_name(field.target.root.model)
    right = _side(
        field.target, right_name if right_name != table_name(mapper.root.model) else field.name
    )
    references = (
        Reference(
            tuple(c.name for c in left), table_name(mapper.root.model), _key_names(mapper.root)
        ),
        Reference(tuple(c.name for c in right), right_name, _key_names(field.target)),
    )
    field.owner_columns = tuple(column.name for column in left)
    field.member_columns = tuple(column.name for column in right)
    columns = (*left, *right)
    return Table(
        name=f"{table_name(mapper.root.model)}_{field.name}",
        columns=columns,
        key=tuple(column.name for column in columns),
        references=references,
    )


def _key_names(mapper: Any) -> tuple[str, ...]:
    return tuple(column.name for column in mapper.key_columns)


def _side(mapper: Any, prefix: str) -> list[Column]:
    if len(mapper.key_columns) == 1:
        return [Column(f"{prefix}_id", mapper.key_columns[0].kind)]
    return [Column(f"{prefix}_{column.name}", column.kind) for column in mapper.key_columns]


def tables_of(mappers: Iterable[Any]) -> tuple[Table, ...]:
    """Return the tables of *mappers* and of all they reach, each once, the mappers' own first."""
    tables: dict[Table, None] = {}
    links: dict[Table, None] = {}
    stack = [mapper.root for mapper in mappers]
    seen: set[Any] = set()
    while stack:
        root = stack.pop(0)
        if root in seen:
            continue
        seen.add(root)
        tables[root.table] = None
        for mapper in (root, *root.subclasses):
            for field in mapper.fields:
                if field.form in ("reference", "owned", "links"):
                    stack.append(field.target.root)
                if isinstance(field, LinksField):
                    links[field.link_table] = None
    return (*tables, *links)
