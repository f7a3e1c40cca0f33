"""Takes the samples: a process per contender, all taking turns, in another order every round."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

START = "W10"
MEMORY = "W9"
Job = tuple[str, int]
"""A workload and its number of rows."""


class ContenderError(RuntimeError):
    """A contender is not there, failed, or did not do what it was timed for."""


class Child:
    """The process of one contender."""

    def __init__(self, module: str, place: str) -> None:
        self.module, self.place = module, place
        command = [sys.executable, "-m", "bench.child", module, place]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self._answer()

    def sample(self, workload: str, rows: int) -> float | None:
        """One sample, or `None` where this contender has no answer."""
        if workload == START:
            return start_seconds(self.module, self.place)
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"workload": workload, "rows": rows}) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def _answer(self) -> float | None:
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline() or '{"error": "died"}')
        if "error" in answer:
            raise ContenderError(answer["error"])
        value: float | None = answer["value"]
        return value

    def close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()


def start_seconds(module: str, place: str) -> float:
    """Wall time of a whole process that defines the model and opens the store."""
    code = f"from bench.models.{module} import connect; connect({place!r})"
    start = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True, env=_environment(place))
    return perf_counter() - start


def _environment(place: str) -> dict[str, str]:
    """Let every contender's modules be compiled once, as those of an installed package are."""
    environment = {**os.environ, "BENCH_DB": place}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


@dataclass
class Measurements:
    """Samples by job and contender, in the order of the rounds, and what went wrong."""

    samples: dict[Job, dict[str, list[float]]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def add(self, job: Job, name: str, value: float) -> None:
        self.samples.setdefault(job, {}).setdefault(name, []).append(value)

    def median(self, job: Job, name: str) -> float | None:
        """The median sample, if there is one."""
        found = self.samples.get(job, {}).get(name)
        return median(found) if found else None

    def ratio(self, job: Job, name: str, base: str = "raw") -> float | None:
        """The ratio of the medians."""
        mine, theirs = self.median(job, name), self.median(job, base)
        return mine / theirs if mine is not None and theirs else None

    def ratio_by_round(self, job: Job, name: str) -> float | None:
        """The median of the ratios of each round, as a cross-check."""
        by_name = self.samples.get(job, {})
        pairs = list(zip(by_name.get(name, ()), by_name.get("raw", ()), strict=False))
        return median(mine / theirs for mine, theirs in pairs) if pairs else None


@contextmanager
def started(
    modules: Mapping[str, str], place: Callable[[str], str], errors: list[str]
) -> Iterator[dict[str, Child]]:
    """The processes of all contenders that can be started; the reasons of others join `errors`."""
    children: dict[str, Child] = {}
    try:
        for name, module in modules.items():
            with noting(errors, f"{name} cannot be started"):
                children[name] = Child(module, place(name))
        yield children
    finally:
        for child in children.values():
            child.close()


@contextmanager
def noting(errors: list[str], what: str) -> Iterator[None]:
    """Turn a contender's failure into a line of the report."""
    try:
        yield
    except (ContenderError, subprocess.CalledProcessError, OSError) as error:
        errors.append(f"{what}: {error}")


def schedule(jobs: Mapping[Job, int], rounds: int) -> Iterator[tuple[int, Job]]:
    """Round by round, every job that has a round left."""
    for number in range(rounds):
        yield from ((number, job) for job, limit in jobs.items() if number < limit)


def warm_up(children: Mapping[str, Child], jobs: Iterable[Job], found: Measurements) -> None:
    """Run every workload once, small and unmeasured: statements compiled, code imported."""
    for workload, rows in dict.fromkeys((w, min(rows, 1_000)) for w, rows in jobs if w != MEMORY):
        for name, child in children.items():
            with noting(found.errors, f"{name}, {workload} (warming up)"):
                child.sample(workload, rows)


def measure(
    children: Mapping[str, Child],
    jobs: Mapping[Job, int],
    dice: Random,
    tell: Callable[[str], None],
) -> Measurements:
    """Take the samples of all jobs, as many rounds of each as it says."""
    found = Measurements()
    warm_up(children, jobs, found)
    for number, job in schedule(jobs, max(jobs.values())):
        for name in dice.sample(list(children), len(children)):
            tell(f"round {number + 1}, {job[0]} × {job[1]:,}, {name}")
            with noting(found.errors, f"{name}, {job[0]} × {job[1]:,}"):
                value = children[name].sample(*job)
                if value is not None:
                    found.add(job, name, value)
    return found
