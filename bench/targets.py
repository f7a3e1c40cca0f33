"""What graven must reach, backend by backend."""

from dataclasses import dataclass, replace
from typing import Literal


@dataclass(frozen=True)
class Row:
    """A workload: what it is, how its samples are shown, and the limit graven must keep."""

    workload: str
    text: str
    unit: Literal["ms", "µs", "ns", "B"]
    limit: float
    kind: Literal["ratio", "absolute"] = "ratio"
    shows_absolute: bool = False

    def show(self, sample: float) -> str:
        """A sample with its unit, in three digits or so."""
        value = sample * SCALE[self.unit]
        digits = 0 if value >= 100 else 1
        return f"{value:,.{digits}f} {self.unit}"

    @property
    def must_reach(self) -> str:
        limit = self.show(self.limit) if self.kind == "absolute" else f"{self.limit:g}"
        return f"≤ {limit}"

    def is_reached(self, sample: float, ratio: float) -> bool:
        return (sample if self.kind == "absolute" else ratio) <= self.limit


SCALE = {"ms": 1e3, "µs": 1e6, "ns": 1e9, "B": 1.0}

SQLITE_ROWS = (
    Row("W1", "insert all as new objects, one commit", "ms", 1.3),
    Row("W2", "load all as tracked objects", "ms", 1.8),
    Row("W3", "get by key, cold (per get)", "µs", 1.6),
    Row("W3b", "get by key, warm (per get; raw: a dict's)", "ns", 3.0, shows_absolute=True),
    Row("W4", "load all, change one field of each, one commit", "ms", 1.8),
    Row("W5i", "insert authors with ten books each, one commit", "ms", 1.3),
    Row("W5l", "load the books with their authors", "ms", 1.6),
    Row("W6", "load all, delete all, one commit", "ms", 1.3),
    Row("W7r", "read an attribute (raw: a plain object's)", "ns", 1.1, shows_absolute=True),
    Row("W7w", "write an attribute again", "ns", 2.0, shows_absolute=True),
    Row("W7f", "first write of an object", "ns", 250e-9, "absolute", shows_absolute=True),
    Row("W8", "small transaction: get, change, commit", "µs", 1.5),
    Row("W9", "memory per loaded object", "B", 470, "absolute", shows_absolute=True),
    Row("W10", "process start until the store is open", "ms", 1.4, shows_absolute=True),
    Row("W11", "durable operation: log, body with one update, result", "µs", 2.5),
)

POSTGRESQL_LIMITS = {
    "W1": 0.6,
    "W2": 1.9,
    "W3": 1.2,
    "W4": 0.7,
    "W5i": 0.7,
    "W5l": 1.7,
    "W6": 0.8,
    "W8": 0.9,
    "W11": 1.6,
}
POSTGRESQL_ROWS = tuple(
    replace(row, limit=POSTGRESQL_LIMITS[row.workload])
    for row in SQLITE_ROWS
    if row.workload in POSTGRESQL_LIMITS
)

MONGODB_LIMITS = {
    "W1": 1.2,
    "W2": 1.6,
    "W3": 1.15,
    "W4": 1.3,
    "W5i": 1.3,
    "W5l": 1.8,
    "W8": 1.2,
}
MONGODB_ROWS = tuple(
    replace(row, limit=MONGODB_LIMITS[row.workload])
    for row in SQLITE_ROWS
    if row.workload in MONGODB_LIMITS
)

GROWTH_WORKLOADS = ("W1", "W2", "W4")
GROWTH_ROWS = (1_000, 10_000, 100_000)
GROWTH_LIMIT = 1.25

ASYNC_WORKLOADS = ("W1", "W2", "W4")
ASYNC_LIMIT = 1.2
