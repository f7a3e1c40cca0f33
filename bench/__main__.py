"""Measure graven against its peers: `python -m bench --help`."""

import json
import sys
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Container
from pathlib import Path
from random import Random

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table as Grid

from bench import page
from bench.contenders import TITLES
from bench.harness import MEMORY, Job, Measurements, measure, started
from bench.report import Report, Table
from bench.targets import GROWTH_ROWS, GROWTH_WORKLOADS, ROWS

WORKLOADS = (*(row.workload for row in ROWS), "hop")
GROWTH_ROUNDS = 3
QUICK_ROUNDS, QUICK_ROWS = 2, 1_000


def parse(arguments: list[str] | None = None) -> Namespace:
    """The command line; `--quick` is a small run, unless told otherwise."""
    parser = ArgumentParser(prog="python -m bench", description=__doc__)
    add = parser.add_argument
    add("--contenders", nargs="+", choices=TITLES, default=list(TITLES), metavar="NAME")
    add("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS), metavar="W")
    add("--rounds", type=int, help="samples of each workload (7)")
    add("--rows", type=int, help="rows of each workload (10,000; W9 ten times as many)")
    add("--quick", action="store_true", help="2 rounds of 1,000 rows")
    add("--growth", action="store_true", help="W1, W2, W4 at 1,000, 10,000, 100,000 rows too")
    add("--seed", type=int, default=1, help="of the order of turns")
    add("--json", type=Path, metavar="FILE", help="every sample")
    add("--markdown", type=Path, metavar="FILE", help="a page for the documentation")
    options = parser.parse_args(arguments)
    options.rounds = options.rounds or (QUICK_ROUNDS if options.quick else 7)
    options.rows = options.rows or (QUICK_ROWS if options.quick else 10_000)
    options.contenders = list(dict.fromkeys(["raw", *options.contenders]))
    return options


def jobs_of(options: Namespace) -> dict[Job, int]:
    """What to measure, and how often. Memory does not vary: once is enough."""
    rounds = options.rounds
    jobs = {(w, options.rows): 1 if w == MEMORY else rounds for w in options.workloads}
    if options.growth:
        grown = [(w, rows) for w in GROWTH_WORKLOADS for rows in GROWTH_ROWS]
        jobs = {**{job: min(rounds, GROWTH_ROUNDS) for job in grown}, **jobs}
    return jobs


def run(options: Namespace, console: Console) -> Measurements:
    """Take all samples, telling what is going on."""
    errors: list[str] = []
    with (
        tempfile.TemporaryDirectory(prefix="graven-bench-") as directory,
        console.status("starting") as status,
        started(options.contenders, directory, errors) as children,
    ):
        found = measure(children, jobs_of(options), Random(options.seed), status.update)
    found.errors[:0] = errors
    return found


def show(report: Report, options: Namespace, console: Console) -> None:
    """The tables on the terminal, and what went wrong."""
    console.print(on_terminal(report.main_table(), {"workload"}))
    if options.growth:
        console.print(on_terminal(report.growth_table()))
    if "graven_async" in options.contenders:
        console.print(on_terminal(report.async_table()))
    for error in dict.fromkeys(report.found.errors):
        console.print(f"FAILED: {error}", markup=False)


def on_terminal(table: Table, hidden: Container[str] = ()) -> Grid:
    """A table without the columns for which a terminal is too narrow."""
    shown = [index for index, title in enumerate(table.head) if title not in hidden]
    grid = Grid(*(table.head[index] for index in shown), box=SIMPLE)
    for line in table.lines:
        grid.add_row(*(line[index].replace("*", "") for index in shown))
    return grid


def save(report: Report, options: Namespace) -> None:
    """The files that were asked for."""
    if options.json:
        content = page.as_json(report, options.rounds, options.seed)
        page.write(options.json, json.dumps(content, indent=1))
    if options.markdown:
        page.write(options.markdown, page.render(report, options.rounds))


def main() -> int:
    options = parse()
    console = Console()
    found = run(options, console)
    report = Report(found, options.contenders, options.rows)
    show(report, options, console)
    save(report, options)
    return 1 if found.errors else 0


if __name__ == "__main__":
    sys.exit(main())
