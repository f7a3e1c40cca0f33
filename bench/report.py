"""What was measured, as tables."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bench.contenders import TITLES
from bench.harness import Measurements
from bench.targets import (
    ASYNC_LIMIT,
    ASYNC_WORKLOADS,
    GROWTH_LIMIT,
    GROWTH_ROWS,
    GROWTH_WORKLOADS,
    ROWS,
    Row,
)

NOTHING = "–"
PARENTHESES = {
    *((name, "W6") for name in ("django", "peewee", "tortoise")),
    *(("django", workload) for workload in ("W7w", "W7f")),
}
"""Not quite the same work: deleted by their keys instead of as objects; writes not tracked."""


@dataclass(frozen=True)
class Table:
    """A heading and lines of cells."""

    head: Sequence[str]
    lines: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """As Markdown: words to the left, figures to the right."""
        rule = [":--" if column < 2 else "--:" for column in range(len(self.head))]
        return "\n".join("| " + " | ".join(line) + " |" for line in (self.head, rule, *self.lines))


@dataclass(frozen=True)
class Report:
    """The measurements of one run, and the names and sizes that they were made with."""

    found: Measurements
    names: Sequence[str]
    rows: int

    def main_table(self) -> Table:
        """A row per workload, a column per contender, and whether graven keeps its limit."""
        others = [name for name in self.names if name != "raw"]
        titles = [TITLES[name] for name in others]
        head = ["", "workload", "raw", *titles, "graven must reach", "reached"]
        return Table(head, [self._line(row, others) for row in ROWS if self._has(row)])

    def growth_table(self) -> Table:
        """The ratio to raw at each size, and by how much it rises from the first to the last."""
        sizes = [f"{rows:,}" for rows in GROWTH_ROWS]
        head = ["", "contender", *sizes, "rises by a factor of", "must reach", "reached"]
        names = [name for name in self.names if name != "raw"]
        return Table(head, [self._growth(w, n) for w in GROWTH_WORKLOADS for n in names])

    def async_table(self) -> Table:
        """The async colour of graven against the blocking one."""
        head = ["", "blocking", "async", "async to blocking", "must reach", "reached"]
        lines = [self._async(row) for row in ROWS if row.workload in ASYNC_WORKLOADS]
        return Table(head, [*lines, self._async_small()])

    def _has(self, row: Row) -> bool:
        return (row.workload, self.rows) in self.found.samples

    def _line(self, row: Row, others: Iterable[str]) -> list[str]:
        raw = self.found.median((row.workload, self.rows), "raw")
        cells = [self._cell(row, name) for name in others]
        shown = row.show(raw) if raw is not None else NOTHING
        return [row.workload, row.text, shown, *cells, row.must_reach, self._verdict(row)]

    def _cell(self, row: Row, name: str) -> str:
        job = row.workload, self.rows
        sample, ratio = self.found.median(job, name), self.found.ratio(job, name)
        if sample is None:
            return NOTHING
        shown = [row.show(sample)] if row.shows_absolute or ratio is None else []
        shown += [number(ratio)] if ratio is not None else []
        text = " · ".join(shown)
        return f"({text})" if (name, row.workload) in PARENTHESES else text

    def _verdict(self, row: Row) -> str:
        job = row.workload, self.rows
        sample, ratio = self.found.median(job, "graven"), self.found.ratio(job, "graven")
        if sample is None or ratio is None:
            return NOTHING
        return yes(row.is_reached(sample, ratio))

    def _growth(self, workload: str, name: str) -> list[str]:
        ratios = [self.found.ratio((workload, rows), name) for rows in GROWTH_ROWS]
        first, last = ratios[0], ratios[-1]
        rise = last / first if first and last else None
        cells = [workload, TITLES[name], *map(number, ratios), number(rise)]
        if name != "graven":
            return [*cells, "", ""]
        return [*cells, f"≤ {GROWTH_LIMIT}", yes(rise <= GROWTH_LIMIT) if rise else NOTHING]

    def _async(self, row: Row) -> list[str]:
        job = row.workload, self.rows
        ratio = self.found.ratio(job, "graven_async", "graven")
        colours = [self.found.median(job, name) for name in ("graven", "graven_async")]
        shown = [row.show(sample) if sample else NOTHING for sample in colours]
        reached = yes(ratio <= ASYNC_LIMIT) if ratio else NOTHING
        return [row.workload, *shown, number(ratio), f"≤ {ASYNC_LIMIT}", reached]

    def _async_small(self) -> list[str]:
        row = next(row for row in ROWS if row.workload == "W8")
        job = "W8", self.rows
        blocking, awaited = (self.found.median(job, n) for n in ("graven", "graven_async"))
        hop = self.found.median(("hop", self.rows), "graven_async")
        if blocking is None or awaited is None or hop is None:
            return ["W8", *[NOTHING] * 5]
        limit = f"≤ one thread hop more ({row.show(hop)})"
        difference = f"{row.show(awaited - blocking)} more"
        return [
            "W8", row.show(blocking), row.show(awaited), difference, limit,
            yes(awaited - blocking <= hop),
        ]  # fmt: skip


def number(value: float | None) -> str:
    """A ratio in two or three digits."""
    if value is None:
        return NOTHING
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def yes(reached: bool) -> str:
    return "yes" if reached else "**no**"
