"""The documentation's page around the tables, and the JSON with every sample."""

import os
import platform
import sqlite3
import sys
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.contenders import PACKAGES
from bench.report import Report, Table

PAGE = Path(__file__).with_suffix(".md")

LEFT_OUT = "Not measured in this run."

GROWTH = """
### Growth

The ratio to `raw` at three sizes. From the first to the last it must not rise
by more than a quarter.

{table}
"""

COLOURS = """
### Blocking and async

{table}
"""

FAILURES = """
### Failures in this run

{lines}
"""


def environment() -> dict[str, Any]:
    """The machine and the versions."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "cores": os.cpu_count(),
        "machine": f"{platform.system()} {platform.machine()}",
        "packages": {name: _version(name) for name in PACKAGES.values()},
        "command": sys.argv[1:],
    }


@dataclass
class Results:
    """What was measured in one run, section by section; what was left out is not there."""

    rounds: int
    rows: int
    reports: dict[str, Report] = field(default_factory=dict)
    store: Table | None = None
    operations: Table | None = None
    codec: Table | None = None
    memory: tuple[Table, str] | None = None


def render(results: Results) -> str:
    """The whole page."""
    facts = environment()
    backend, words = results.memory or (None, "")
    return PAGE.read_text(encoding="utf-8").format(
        date=facts["date"][:10],
        machine=_machine(facts),
        rounds=results.rounds,
        rows=results.rows,
        sqlite=_section(results.reports.get("sqlite")),
        postgresql=_section(results.reports.get("postgresql")),
        mongodb=_section(results.reports.get("mongodb")),
        codec=results.codec.markdown() if results.codec else LEFT_OUT,
        operations=results.operations.markdown() if results.operations else LEFT_OUT,
        store=results.store.markdown() if results.store else LEFT_OUT,
        memory=backend.markdown() if backend else LEFT_OUT,
        memory_words=words,
    )


def _section(report: Report | None) -> str:
    """The tables of one backend."""
    if report is None:
        return LEFT_OUT
    parts = [report.main_table().markdown()]
    if report.has_growth:
        parts.append(GROWTH.format(table=report.growth_table().markdown()))
    if report.has_colours:
        parts.append(COLOURS.format(table=report.async_table().markdown()))
    if failures := list(dict.fromkeys(report.found.errors)):
        parts.append(FAILURES.format(lines="\n".join(f"* {failure}" for failure in failures)))
    return "\n".join(parts).rstrip()


def as_json(results: Results, seed: int) -> dict[str, Any]:
    """Everything measured on a backend: seconds per unit of work (W9: bytes per object)."""
    settings = {"rows": results.rows, "rounds": results.rounds, "seed": seed}
    sections = {name: _as_json(report) for name, report in results.reports.items()}
    return {"environment": environment(), **settings, "sections": sections}


def _as_json(report: Report) -> dict[str, Any]:
    jobs = [
        {"workload": job[0], "rows": job[1], "contenders": _samples(report, job)}
        for job in report.found.samples
    ]
    return {"errors": report.found.errors, "jobs": jobs}


def write(path: Path, text: str) -> None:
    """Write a text file, its folder included."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _samples(report: Report, job: tuple[str, int]) -> dict[str, Any]:
    found = report.found
    return {
        name: {
            "median": found.median(job, name),
            "ratio_of_medians": found.ratio(job, name),
            "median_of_ratios": found.ratio_by_round(job, name),
            "samples": samples,
        }
        for name, samples in found.samples[job].items()
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _machine(facts: dict[str, Any]) -> str:
    packages = ", ".join(f"{name} {v}" for name, v in facts["packages"].items() if v)
    return (
        f"{facts['machine']}, {facts['cores']} cores, Python {facts['python']}, "
        f"SQLite {facts['sqlite']}, {packages}"
    )
