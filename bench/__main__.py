"""Measure graven against its peers: `python -m bench --help`."""

import json
import signal
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Container
from pathlib import Path
from random import Random

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as Grid

from bench import codec, memory, operations, page, stm
from bench.harness import MEMORY, Job, measure, started
from bench.report import Report, Table
from bench.sections import SECTIONS, SQLITE, Section
from bench.targets import GROWTH_ROWS, GROWTH_WORKLOADS

ALL_SECTIONS = ("sqlite", "memory", "store", "postgresql", "mongodb", "operations", "codec")
CONTENDERS = tuple(dict.fromkeys(name for found in SECTIONS.values() for name in found.titles))
WORKLOADS = (*(row.workload for row in SQLITE.rows), "hop")
GROWTH_ROUNDS = 3
QUICK_ROUNDS, QUICK_ROWS = 2, 1_000


def parse(arguments: list[str] | None = None) -> Namespace:
    """The command line; `--quick` is a small run, unless told otherwise."""
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--sections", nargs="+", choices=ALL_SECTIONS, default=ALL_SECTIONS, metavar="NAME",
        help=f"of {', '.join(ALL_SECTIONS)} (all)")  # fmt: skip
    add("--contenders", nargs="+", choices=CONTENDERS, default=CONTENDERS, metavar="NAME")
    add("--workloads", nargs="+", choices=WORKLOADS, default=WORKLOADS, metavar="W")
    add("--rounds", type=int, help="samples of each workload (7)")
    add("--rows", type=int, help="rows of each workload (10,000; W9 ten times as many)")
    add("--quick", action="store_true", help="2 rounds of 1,000 rows")
    add("--growth", action="store_true", help="W1, W2, W4 on SQLite at 1,000 to 100,000 rows too")
    add("--seed", type=int, default=1, help="of the order of turns")
    add("--json", type=Path, metavar="FILE", help="every sample")
    add("--markdown", type=Path, metavar="FILE", help="a page for the documentation")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else 7)
    options.rows = options.rows or (QUICK_ROWS if options.quick else 10_000)
    return options


def jobs_of(section: Section, options: Namespace) -> dict[Job, int]:
    """What to measure, and how often. Memory does not vary: once is enough."""
    rounds = options.rounds
    known = {row.workload for row in section.rows} | ({"hop"} if section is SQLITE else set())
    workloads = [w for w in options.workloads if w in known]
    rows = rows_of(section, options)
    jobs = {(w, rows): 1 if w == MEMORY else rounds for w in workloads}
    if options.growth and section is SQLITE:
        grown = [(w, rows) for w in GROWTH_WORKLOADS for rows in GROWTH_ROWS]
        jobs = {**{job: min(rounds, GROWTH_ROUNDS) for job in grown}, **jobs}
    return jobs


def run(section: Section, options: Namespace, console: Console) -> Report:
    """Take all samples of a section, telling what is going on."""
    errors: list[str] = []
    names = [name for name in section.titles if name in {"raw", *options.contenders}]
    modules = {name: section.module(name) for name in names}
    with (
        section.opened(names) as place,
        console.status("starting") as status,
        started(modules, place, errors) as children,
    ):
        found = measure(children, jobs_of(section, options), Random(options.seed), status.update)
    found.errors[:0] = errors
    return Report(found, names, rows_of(section, options), section)


def rows_of(section: Section, options: Namespace) -> int:
    """How many rows a workload has in that section."""
    return min(options.rows, section.rows_max)


def show(report: Report, console: Console) -> None:
    """The tables on the terminal, and what went wrong."""
    console.print(f"{report.section.name}: ratios to the raw driver")
    console.print(on_terminal(report.main_table(), {"workload"}))
    if report.has_growth:
        console.print(on_terminal(report.growth_table()))
    if report.has_colours:
        console.print(on_terminal(report.async_table()))
    for error in dict.fromkeys(report.found.errors):
        console.print(f"FAILED: {error}", markup=False)


def on_terminal(table: Table, hidden: Container[str] = ()) -> Grid:
    """A table for a narrow terminal: some columns hidden, turned if it is wider than high."""
    table = table.without(hidden)
    if len(table.head) > len(table.lines) + 1:
        table = table.transposed()
    grid = Grid(*table.head, box=SIMPLE)
    for line in table.lines:
        grid.add_row(*(cell.replace("*", "") for cell in line))
    return grid


def show_store(options: Namespace, console: Console) -> Table:
    """The store in memory by itself."""
    console.print("The store in memory, against a dictionary under one lock")
    found = stm.table(stm.run(options.rounds, options.quick))
    console.print(on_terminal(found))
    return found


def show_codec(options: Namespace, console: Console) -> Table:
    """The document codec by itself."""
    console.print("The document codec, against pickle on the same graph of 10,000 nodes")
    found = codec.table(codec.run(options.rounds))
    console.print(on_terminal(found))
    return found


def show_operations(options: Namespace, console: Console) -> Table:
    """Durable operations at large."""
    console.print("Durable operations at large")
    found = operations.table(operations.run(options.rounds, options.quick), options.quick)
    console.print(on_terminal(found))
    return found


def show_memory(options: Namespace, console: Console) -> tuple[Table, str]:
    """The backend in memory: a table, and what is to be said besides."""
    console.print("graven over memory:, against ZODB on a MappingStorage")
    lines = memory.run(options.rounds, options.rows)
    console.print(on_terminal(memory.table(lines), {"workload"}))
    console.print(memory.words(lines), soft_wrap=True)
    return memory.table(lines), memory.words(lines)


def main() -> int:
    options = parse()
    console = Console()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # ends what was started, as Ctrl-C does
    results = page.Results(options.rounds, options.rows)
    for name in options.sections:
        if name == "store":
            results.store = show_store(options, console)
        elif name == "codec":
            results.codec = show_codec(options, console)
        elif name == "operations":
            results.operations = show_operations(options, console)
        elif name == "memory":
            results.memory = show_memory(options, console)
        else:
            results.reports[name] = run(SECTIONS[name], options, console)
            show(results.reports[name], console)
    if options.json:
        page.write(options.json, json.dumps(page.as_json(results, options.seed), indent=1))
    if options.markdown:
        page.write(options.markdown, page.render(results))
    return 1 if any(report.found.errors for report in results.reports.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
