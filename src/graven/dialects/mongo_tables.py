"""Tables as collections: their indexes, and the rule that describes their documents.

A collection takes any document. What a table is, is said by the rule that the collection checks
what is written by (its validator), in MongoDB's own words: which fields there must be, of which
types, and what an enumeration allows. ``title`` tells the key's columns in it, ``description`` the
kind of a column. Fields that the rule does not name are allowed. The rule describes; that it is
kept to as well, whoever writes, is switched on by its owner (``validationLevel``), for it takes
time at every write, and graven looks at values itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graven.dialects.mongo_codec import BSON_TYPES, LEAST
from graven.dialects.mongo_commands import Command, Document
from graven.dialects.mongo_fields import KEY, check_names, field_of
from graven.errors import MappingError
from graven.ops.indexes import wanted_indexes
from graven.ops.requests import Create, TableShape
from graven.ops.schema import Column, Table

__all__ = ["create", "shape"]

OURS = "a table of graven"  #: the title of the rule
NAMESPACE_EXISTS, INDEX_NOT_FOUND = 48, 27


def create(request: Create) -> list[Command]:
    """Return the commands that make what *request* asks for, in order.

    Each may be given again: what is there already is left alone. They are no transaction.
    """
    table = request.table
    check_names(table)
    if request.whole:
        rule = {"validator": _rule(table), "validationLevel": "off"}
        adopted = Command({"collMod": table.name, **rule})
        made = Command({"create": table.name, **rule}, (NAMESPACE_EXISTS,), adopted)
        indexes = [_index(table, *index) for index in wanted_indexes(table)]
        indexes += [_sparse(table, columns) for columns in table.sparse]
        return [made, *_indexed(table, indexes)]
    if not (request.renames or request.columns or request.indexes or request.choices):
        return []
    moved = _moved(table, request)
    commands = [
        *([_renamed(table, request.renames)] if request.renames else []),
        *(_dropped(table, old) for old, _ in moved),
    ]
    wanted = [*request.indexes, *(new for _, new in moved)]
    ruled = Command({"collMod": table.name, "validator": _rule(table)})
    return [*commands, ruled, *_indexed(table, [_index(table, *one) for one in wanted])]


def _renamed(table: Table, renames: Sequence[tuple[str, str]]) -> Command:
    """Return the command that gives fields new names.

    The old rule, which demands the old ones, is there until all are renamed: it still says what
    the documents are, should this be interrupted.
    """
    found = {"$or": [{old: {"$exists": True}} for old, _ in renames]}
    update = {"q": found, "u": {"$rename": dict(renames)}, "multi": True}
    body = {"update": table.name, "updates": [update], "bypassDocumentValidation": True}
    return Command(body)


Index = tuple[tuple[str, ...], bool]


def _moved(table: Table, request: Create) -> list[tuple[Index, Index]]:
    """Return the indexes, as they were and as they are to be, on columns that get new names."""
    old_names = {new: old for old, new in request.renames}
    there = [index for index in wanted_indexes(table) if index not in request.indexes]
    return [
        ((tuple(old_names.get(name, name) for name in columns), unique), (columns, unique))
        for columns, unique in there
        if set(columns) & set(old_names)
    ]


def _dropped(table: Table, index: Index) -> Command:
    body = {"dropIndexes": table.name, "index": _index_name(table, *index)}
    return Command(body, (INDEX_NOT_FOUND,))


def _indexed(table: Table, indexes: list[Document]) -> list[Command]:
    return [Command({"createIndexes": table.name, "indexes": indexes})] if indexes else []


def _index_name(table: Table, columns: tuple[str, ...], unique: bool) -> str:
    return ".".join((table.name, *columns, "unique" if unique else "index"))


def _index(table: Table, columns: tuple[str, ...], unique: bool) -> Document:
    """Return the description of an index; a unique one leaves out where a column is null."""
    index: Document = {
        "key": {field_of(table, name): 1 for name in columns},
        "name": _index_name(table, columns, unique),
    }
    if unique:
        index["unique"] = True
        filled = {name: _filled(table.column(name)) for name in columns}
        if partial := {name: condition for name, condition in filled.items() if condition}:
            index["partialFilterExpression"] = partial
    return index


def _sparse(table: Table, columns: tuple[str, ...]) -> Document:
    """Return the description of an index without the rows whose first column is null."""
    first = {columns[0]: {"$gte": LEAST[table.column(columns[0]).kind]}}
    return {**_index(table, columns, False), "partialFilterExpression": first}


def _filled(column: Column) -> Document | None:
    """Return a condition that a value is not null, which the planner of queries understands."""
    if not column.nullable:
        return None
    if column.kind == "json":
        return {"$type": ["object", "array", "string", "number", "bool"]}
    return {"$gte": LEAST[column.kind]}


# ── the rule ────────────────────────────────────────────────────────────────────────────────


def _rule(table: Table) -> Document:
    key = [table.column(name) for name in table.key]
    others = [column for column in table.columns if column.name not in table.key]
    if len(key) == 1:
        inner = {**_described(key[0], False), "title": key[0].name}
    else:
        inner = _object("of several columns", {one.name: _described(one, False) for one in key})
        inner["required"] = [*table.key]
    fields = {KEY: inner} | {one.name: _described(one, one.nullable) for one in others}
    required = [one.name for one in others if not one.nullable]
    return {"$jsonSchema": {**_object(OURS, fields), "required": [KEY, *required]}}


def _object(title: str, fields: Document) -> Document:
    return {"bsonType": "object", "title": title, "properties": fields}


def _described(column: Column, nullable: bool) -> Document:
    types = BSON_TYPES[column.kind]
    found: Document = {"description": column.kind}
    if types:
        found["bsonType"] = [*types, *(("null",) if nullable else ())]
    elif not nullable:
        found["not"] = {"bsonType": "null"}
    if column.choices:
        found["enum"] = [*column.choices, *((None,) if nullable else ())]
    return found


# ── what is there ───────────────────────────────────────────────────────────────────────────


def shape(collection: Document | None, indexes: Iterable[Document]) -> TableShape | None:
    """Return the shape of a table; ``None`` if no table was made of the collection yet.

    *collection* is what ``listCollections`` says of it, ``None`` if it is not there; *indexes* is
    what ``listIndexes`` says.

    :raises MappingError: if somebody else has given the collection a rule or a collation, or it is
        a view.
    """
    if collection is None:
        return None
    options = collection.get("options", {})
    validator = options.get("validator")
    rule = (validator or {}).get("$jsonSchema", {})
    is_plain = collection.get("type", "collection") == "collection" and "collation" not in options
    if not is_plain or (validator and rule.get("title") != OURS):
        raise _not_ours(collection)
    if not validator:
        return None
    fields = dict(rule["properties"])
    key = fields.pop(KEY)
    inside = key["properties"] if "properties" in key else {key["title"]: key}
    columns = {**inside, **fields}
    required = {*inside, *rule.get("required", ())}
    return TableShape(
        columns=tuple((name, _declared(one), name in required) for name, one in columns.items()),
        key=tuple(inside),
        indexes=tuple(_listed(indexes, inside)),
        kinds=tuple(frozenset({_kind(one)}) for one in columns.values()),
        makes_key=[_kind(one) for one in inside.values()] == ["int"],
        choices=tuple(
            (name, name, tuple(choice for choice in one["enum"] if choice is not None))
            for name, one in columns.items()
            if "enum" in one
        ),
    )


def _kind(described: Document) -> str:
    """Return the kind of a column; a field that somebody has added to the rule has none."""
    return str(described.get("description", "of no kind"))


def _declared(described: Document) -> str:
    types = described.get("bsonType", "any")
    return f"{_kind(described)} ({types if isinstance(types, str) else ', '.join(types)})"


def _listed(
    indexes: Iterable[Document], key: Iterable[str]
) -> Iterable[tuple[str, tuple[str, ...], bool]]:
    """Yield name, columns, unique of the plain indexes, those on the key itself left out."""
    names = list(key)
    for index in indexes:
        fields = [*index["key"]]
        partial = index.get("partialFilterExpression")
        is_plain = all(way in (1, -1) for way in index["key"].values())
        if fields == [KEY] or not is_plain or (partial and not index.get("unique")):
            continue
        columns = tuple(
            (names[0] if name == KEY else name.removeprefix(f"{KEY}.")) for name in fields
        )
        yield index["name"], columns, bool(index.get("unique"))


def _not_ours(collection: Document) -> MappingError:
    name = collection["name"]
    return MappingError(
        f"the collection {name!r} was to be used as a table: found a view, a collation, or a rule "
        "for documents that graven did not make; usually it belongs to another program; take the "
        "rule away (collMod with an empty validator), or give the model another table name. "
        "Nothing was changed",
        table=name,
    )
