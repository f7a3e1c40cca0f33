"""A query as a value: what is asked, built up step by step, each step a new value."""

from __future__ import annotations

from graven._hints import Any
from graven.ops.conditions import And, Condition, In, Order, Path, Select, Step
from graven.ops.requests import Documents, Execute
from graven.ops.schema import Table
from graven.ops.value import Value

__all__ = ["Include", "Load", "QuerySpec"]


class Include(Value):
    """A reference or list to be loaded with its objects, and what to load of those in turn."""

    field: Any
    inner: tuple[Include, ...] = ()


class Load(Value):
    """How the rows of one include are found: a chain of key look-ups.

    *table* is where the rows are, *columns* what is fetched of it. For every row at hand the
    values of its *given* positions are looked up in the *by* columns, by way of *link* (a table of
    pairs, with its own and the members' columns) if there is one.
    """

    table: Table
    columns: tuple[str, ...]
    given: tuple[int, ...]
    by: tuple[str, ...]
    link: tuple[Table, tuple[str, ...], tuple[str, ...]] | None
    inner: tuple[Load, ...]


class QuerySpec(Value):
    """Everything that was asked of one query."""

    mapper: Any
    conditions: tuple[Condition, ...] = ()
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    includes: tuple[Include, ...] = ()
    raw: Execute | Documents | None = None
    lock: str | None = None

    def but(self, **changes: Any) -> QuerySpec:
        """Return the same query with *changes*."""
        fields = {name: getattr(self, name) for name in type(self)._fields}
        return QuerySpec(**{**fields, **changes})

    def where(self) -> Condition | None:
        """Return the whole condition, which says of a subclass that the object is one."""
        conditions = self.conditions
        if self.mapper is not self.mapper.root:
            family = (self.mapper, *self.mapper.subclasses)
            path = Path((), self.mapper.root.discriminator_column, "str")
            conditions = (In(path, tuple(one.discriminator for one in family)), *conditions)
        if not conditions:
            return None
        return conditions[0] if len(conditions) == 1 else And(conditions)

    def full_order(self) -> tuple[Order, ...]:
        """Return the order, completed by the key."""
        table: Table = self.mapper.root.table
        keys = tuple(Order(Path((), name, table.column(name).kind)) for name in table.key)
        return (*self.order, *keys)

    def select(self, columns: tuple[str, ...], limit: int | None, **more: Any) -> Select:
        """Return the select for it."""
        return Select(self.mapper.root.table, columns, self.where(), self.order, limit, **more)


def prefixes(paths: list[Path]) -> list[tuple[Step, ...]]:
    """Return every chain of references that the paths go along, shortest first."""
    found: dict[tuple[Step, ...], None] = {}
    for path in paths:
        for length in range(1, len(path.steps) + 1):
            found[path.steps[:length]] = None
    return sorted(found, key=len)
