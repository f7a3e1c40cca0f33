"""References, which MongoDB does not keep: they are checked before a transaction commits.

What was written with a reference must find its target, and keeps it: the target is touched, so that
somebody who deletes it at the same time has a conflict. What was deleted must not be referred to
any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from graven._hints import Any
from graven.dialects.mongo import MongoDialect
from graven.dialects.mongo_commands import Document, Find
from graven.dialects.mongo_references import (
    REFERENCES,
    TOUCH,
    entry_of,
    ids_of,
    referrers_of,
    to_them,
)
from graven.drivers.mongo_calls import Call, Calls, found
from graven.drivers.mongo_statements import MongoStatements
from graven.errors import ForeignKeyError
from graven.ops.requests import FetchKeys, Insert, Row, Sweep, Update, Write
from graven.ops.schema import Reference, Table
from graven.ops.value import Value

__all__ = ["MongoReferences", "Target"]


class Target(Value):
    """Keys, in store form, that must be there, because *child* refers to them by *reference*."""

    child: str
    reference: Reference
    keys: list[Row]

    @property
    def ids(self) -> list[object]:
        """What ``_id`` is of the documents."""
        return ids_of(self.reference.target, self.keys)


class MongoReferences:
    """What the open transaction has to check before it commits."""

    __slots__ = ("_deleted", "_dialect", "_inserted", "_statements", "_told")

    def __init__(self, statements: MongoStatements, dialect: MongoDialect) -> None:
        """Begin with nothing to check."""
        self._statements = statements
        self._dialect = dialect
        self.forget()

    def forget(self) -> None:
        """Know of no transaction any more."""
        self._told: dict[tuple[str, Reference], dict[Row, Row]] = {}
        self._inserted: set[tuple[str, Row]] = set()
        self._deleted: dict[Table, dict[Row, None]] = {}

    @property
    def has_none(self) -> bool:
        """Whether there is nothing to check."""
        return not self._told and not self._deleted

    def note(self, write: Write | Sweep, keys: Sequence[Row] = ()) -> None:
        """Remember what *write* refers to, inserts or deletes; *keys* are those it is about.

        What a row referred to before in the same transaction does not count.
        """
        table = write.table
        if isinstance(write, Insert | Update):
            columns = write.columns
            if isinstance(write, Insert):
                self._inserted.update((table.name, key) for key in keys)
                for key in keys if table in self._deleted else ():
                    self._deleted[table].pop(key, None)
            else:
                columns = (*columns, *table.key)
            for reference, values in _referred(table, columns, write.rows):
                told = self._told.setdefault((table.name, reference), {})
                told.update(zip(keys, values, strict=True))
        else:
            self._deleted.setdefault(table, {}).update(dict.fromkeys(keys))
            for reference in table.references:
                told = self._told.get((table.name, reference), {})
                for key in keys if told else ():
                    told.pop(key, None)

    def targets(self) -> list[Target]:
        """Return what must be there, and is not of this transaction; it is returned only once."""
        told, self._told = self._told, {}
        found = []
        for (child, reference), values in told.items():
            name, own = reference.table, self._inserted
            wanted = [
                value
                for value in dict.fromkeys(values.values())
                if None not in value and (name, value) not in own
            ]
            if wanted:
                found.append(Target(child, reference, wanted))
        return found

    def check(self) -> Calls[None]:
        """See that every reference leads somewhere, also after what was deleted is gone.

        :raises ForeignKeyError: if one does not; the transaction stays open.
        """
        for target in self.targets():
            name, ids = target.reference.table, target.ids
            collection = self._statements.store.collection(name)
            call: Call = collection.update_many, ({"_id": {"$in": ids}}, TOUCH), {}
            result = yield from self._statements.write(f"update {name} touched", call)
            if result.matched_count != len(ids):
                yield from self.refuse(target)
        if self._deleted:
            yield from self._check_deleted()

    def refuse(self, target: Target) -> Calls[None]:
        """Refuse to refer to what is not there, and say what that is.

        :raises ForeignKeyError: always.
        """
        name, ids = target.reference.table, target.ids
        documents = yield from self._find(Find(name, {"_id": {"$in": ids}}, {"_id": 1}))
        there = [document["_id"] for document in documents]
        missing = [key for key, one in zip(target.keys, ids, strict=True) if one not in there]
        raise leads_nowhere(target, missing or target.keys)

    def _check_deleted(self) -> Calls[None]:
        names = {table.name: table for table in self._deleted}
        for child in (yield from self.referrers(names)):
            (reference,) = child.references
            keys = list(self._deleted[names[reference.table]])
            request = FetchKeys(child, child.key, reference.columns, keys, encoded=True)
            for find in self._dialect.fetch_keys(request):
                first = Find(child.name, find.filter, {"_id": 1}, limit=1)
                documents = yield from self._find(first)
                if documents:
                    raise still_referred(child, reference, documents[0])

    def _find(self, find: Find) -> Calls[list[Document]]:
        collection = self._statements.store.collection(find.collection)
        call: Call = found, (collection, find), {}
        return (yield from self._statements.look(f"find {find.collection}", call))  # type: ignore[no-any-return]

    def referrers(self, names: Iterable[str]) -> Calls[list[Table]]:
        """Return all that may refer to the tables of these *names*; see :func:`referrers_of`."""
        collection = self._statements.store.collection(REFERENCES)
        find = Find(REFERENCES, to_them(names), {})
        entries = yield from self._statements.aside(f"find {REFERENCES}", found, collection, find)
        return referrers_of(entries)

    def note_for_all(self, table: Table, references: Iterable[Reference]) -> Calls[None]:
        """Let everybody know that *table* refers as *references* say."""
        collection = self._statements.store.collection(REFERENCES)
        for reference in references:
            given = entry_of(table, reference)
            text = f"update {REFERENCES}"
            yield from self._statements.aside(text, collection.update_one, *given, upsert=True)


def _referred(
    table: Table, columns: tuple[str, ...], rows: Sequence[Row]
) -> Iterable[tuple[Reference, list[Row]]]:
    """Yield the references of *table* that *columns* tell whole, and what *rows* refer to."""
    for reference in table.references:
        if all(name in columns for name in reference.columns):
            places = [columns.index(name) for name in reference.columns]
            yield reference, [tuple(row[at] for at in places) for row in rows]


def leads_nowhere(target: Target, missing: Sequence[Row]) -> ForeignKeyError:
    """Return the error for a reference to what is not there."""
    reference, key = target.reference, missing[0]
    shown: object = key[0] if len(key) == 1 else key
    return ForeignKeyError(
        f"MongoDB was to commit: {target.child} refers by {', '.join(reference.columns)} to "
        f"{reference.table} {shown!r:.200}, which is not there; usually it was deleted meanwhile, "
        "or never stored; keep it, or change what refers to it",
        statement="commit",
        table=reference.table,
        key=shown,
        columns=reference.columns,
    )


def still_referred(child: Table, reference: Reference, found: dict[str, Any]) -> ForeignKeyError:
    """Return the error for the deletion of what is still referred to."""
    return ForeignKeyError(
        f"MongoDB was to commit: {child.name} {found['_id']!r:.100} refers by "
        f"{', '.join(reference.columns)} to what was deleted from {reference.table}; usually what "
        "is still referred to was deleted; keep it, or delete what refers as well",
        statement="commit",
        table=reference.table,
        columns=reference.columns,
    )
