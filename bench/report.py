"""What was measured, as tables."""

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass

from bench.harness import Measurements
from bench.sections import SQLITE, Section
from bench.targets import (
    ASYNC_LIMIT,
    ASYNC_WORKLOADS,
    GROWTH_LIMIT,
    GROWTH_ROWS,
    GROWTH_WORKLOADS,
    Row,
)

NOTHING = "–"


@dataclass(frozen=True)
class Table:
    """A heading and lines of cells."""

    head: Sequence[str]
    lines: Sequence[Sequence[str]]

    def without(self, titles: Container[str]) -> "Table":
        """The same without some columns."""
        shown = [at for at, title in enumerate(self.head) if title not in titles]
        head, *lines = ([cells[at] for at in shown] for cells in (self.head, *self.lines))
        return Table(head, lines)

    def transposed(self) -> "Table":
        """The same with a line for each column."""
        head, *lines = zip(self.head, *self.lines, strict=True)
        return Table(head, lines)

    def markdown(self) -> str:
        """As Markdown: words to the left, figures to the right."""
        rule = [":--" if column < 2 else "--:" for column in range(len(self.head))]
        return "\n".join("| " + " | ".join(line) + " |" for line in (self.head, rule, *self.lines))


@dataclass(frozen=True)
class Report:
    """The measurements of one section, and the names and sizes that they were made with."""

    found: Measurements
    names: Sequence[str]
    rows: int
    section: Section = SQLITE

    def main_table(self) -> Table:
        """A row per workload, a column per contender, and whether graven keeps its limit."""
        others = [name for name in self.names if name != "raw"]
        titles = [self.section.titles[name] for name in others]
        head = ["", "workload", "raw", *titles, "graven must reach", "reached"]
        return Table(head, [self._line(row, others) for row in self._rows])

    def growth_table(self) -> Table:
        """The ratio to raw at each size, and by how much it rises from the first to the last."""
        sizes = [f"{rows:,}" for rows in GROWTH_ROWS]
        head = ["", "contender", *sizes, "rises by a factor of", "must reach", "reached"]
        names = [name for name in self.names if name != "raw"]
        return Table(head, [self._growth(w, n) for w in GROWTH_WORKLOADS for n in names])

    def async_table(self) -> Table:
        """The async colour of graven against the blocking one.

        Over SQLite a small transaction may take a thread hop more; a driver that awaits its own
        socket has no such excuse.
        """
        head = ["", "blocking", "async", "async to blocking", "must reach", "reached"]
        if self.section is not SQLITE:
            return Table(head, [self._async(row) for row in self._rows])
        lines = [self._async(row) for row in self._rows if row.workload in ASYNC_WORKLOADS]
        small = [self._async_small(row) for row in self._rows if row.workload == "W8"]
        return Table(head, [*lines, *small])

    @property
    def has_growth(self) -> bool:
        """Whether it was measured at several sizes."""
        return len({rows for workload, rows in self.found.samples if workload == "W1"}) > 1

    @property
    def has_colours(self) -> bool:
        """Whether both colours of graven took part."""
        return {"graven", "graven_async"} <= set(self.names)

    @property
    def _rows(self) -> list[Row]:
        """The rows of what was measured."""
        samples = self.found.samples
        return [row for row in self.section.rows if (row.workload, self.rows) in samples]

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
        return f"({text})" if (name, row.workload) in self.section.parentheses else text

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
        cells = [workload, self.section.titles[name], *map(number, ratios), number(rise)]
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

    def _async_small(self, row: Row) -> list[str]:
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
