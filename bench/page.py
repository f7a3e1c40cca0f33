"""The documentation's page around the tables, and the JSON with every sample."""

import os
import platform
import sqlite3
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bench.contenders import PACKAGES
from bench.report import Report

PAGE = Path(__file__).with_suffix(".md")

GROWTH = """
## Growth

The ratio to `raw` at three sizes. From the first to the last it must not rise
by more than a quarter.

{table}
"""

COLOURS = """
## Blocking and async

{table}
"""

FAILURES = """
## Failures in this run

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


def render(report: Report, rounds: int) -> str:
    """The whole page."""
    facts = environment()
    growth = GROWTH.format(table=report.growth_table().markdown()) if _has_growth(report) else ""
    colours = COLOURS.format(table=report.async_table().markdown()) if _has_colours(report) else ""
    failures = [f"* {error}" for error in dict.fromkeys(report.found.errors)]
    return PAGE.read_text(encoding="utf-8").format(
        date=facts["date"][:10],
        machine=_machine(facts),
        rounds=rounds,
        rows=report.rows,
        main=report.main_table().markdown(),
        growth=growth,
        colours=colours,
        failures=FAILURES.format(lines="\n".join(failures)) if failures else "",
    )


def as_json(report: Report, rounds: int, seed: int) -> dict[str, Any]:
    """Everything that was measured: seconds per unit of work (W9: bytes per object)."""
    jobs = [
        {"workload": job[0], "rows": job[1], "contenders": _samples(report, job)}
        for job in report.found.samples
    ]
    settings = {"rows": report.rows, "rounds": rounds, "seed": seed}
    errors = report.found.errors
    return {"environment": environment(), **settings, "errors": errors, "jobs": jobs}


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


def _has_growth(report: Report) -> bool:
    sizes = {rows for workload, rows in report.found.samples if workload == "W1"}
    return len(sizes) > 1


def _has_colours(report: Report) -> bool:
    return "graven_async" in report.names
