"""graven over `memory:`, against ZODB on a MappingStorage, and a dictionary under one lock."""

import gc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from threading import Lock
from time import perf_counter
from typing import Any

import transaction
from BTrees.IOBTree import IOBTree
from persistent import Persistent
from ZODB import DB
from ZODB.MappingStorage import MappingStorage

from bench.contenders.graven import Entry, new_authors
from bench.data import AuthorRow, authors, keys
from bench.models.graven import Author, Book
from bench.report import Table, number, yes
from bench.store import expect
from graven import Database

SMALL_TRANSACTIONS = 1_000
FASTER_THAN_ZODB = 5.0
LIMIT_TO_DICT = 40.0
TEXTS = {
    "W1": "insert all as new objects, one commit",
    "W2": "load all as tracked objects",
    "W4": "load all, change one field of each, one commit",
    "W8": "small transaction: get, change, commit",
}


class ZodbAuthor(Persistent):
    """The model, as ZODB keeps it."""

    def __init__(self, row: AuthorRow) -> None:
        self.id, self.name, self.email, self.age, self.score, self.joined, self.active = row


class Zodb:
    """Persistent objects in a B-tree, in one connection; loaded objects are let go before."""

    def __init__(self) -> None:
        self.connection = DB(MappingStorage()).open()
        self.root: Any = self.connection.root
        self.root.authors = IOBTree()

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        self.root.authors = IOBTree({row[0]: ZodbAuthor(row) for row in rows})
        transaction.commit()

    def forget(self) -> None:
        self.connection.cacheMinimize()

    def load(self) -> Sequence[Any]:
        found = list(self.root.authors.values())
        for author in found:
            author.age  # loads it
        return found

    def update_all(self) -> None:
        for author in self.root.authors.values():
            author.age += 1
        transaction.commit()

    def small_each(self, wanted: Sequence[int]) -> None:
        for key in wanted:
            self.root.authors[key].age += 1
            transaction.commit()


class Memory(Entry):
    """graven, as it is measured over SQLite."""

    def __init__(self) -> None:
        super().__init__("memory:")
        self.db = Database(self.path)
        self.db.create(Author, Book)

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        with self.db.session() as session:
            session.add(*new_authors(rows))

    def forget(self) -> None:
        """Nothing is kept from one session to the next."""


@dataclass(frozen=True)
class Line:
    """The seconds of one workload, and what they must be."""

    workload: str
    plain: float | None
    zodb: float
    graven: float

    def cells(self) -> list[str]:
        faster = self.zodb / self.graven
        return [
            self.workload, TEXTS[self.workload], _shown(self.zodb), _shown(self.graven),
            number(faster), f"≥ {FASTER_THAN_ZODB:g}", yes(faster >= FASTER_THAN_ZODB),
        ]  # fmt: skip


def table(lines: list[Line]) -> Table:
    """What was measured, as a table."""
    head = ["", "workload", "ZODB", "graven", "times as fast", "must reach", "reached"]
    return Table(head, [line.cells() for line in lines])


def words(lines: list[Line]) -> str:
    """What a small transaction costs, in times a dictionary under a lock."""
    small = next(line for line in lines if line.plain)
    ratio = small.graven / (small.plain or 1.0)
    return (
        f"Getting, changing and putting back one tuple of a dictionary under one lock takes "
        f"{_shown(small.plain or 0.0)}; W8 is {number(ratio)} times that, and must be at most "
        f"{LIMIT_TO_DICT:g} times: {'reached' if ratio <= LIMIT_TO_DICT else 'not reached'}."
    )


def run(rounds: int, rows: int) -> list[Line]:
    """Take all samples, each contender in turn."""
    samples: dict[tuple[str, str], list[float]] = {}
    for _ in range(max(rounds, 3)):
        for name, make in (("zodb", Zodb), ("graven", Memory)):
            for workload, seconds in _round(make(), authors(rows, True)).items():
                samples.setdefault((workload, name), []).append(seconds)
        samples.setdefault(("W8", "dict"), []).append(_dict_and_lock(authors(rows, True)))
    middle = {job: median(found) for job, found in samples.items()}
    return [Line(w, middle.get((w, "dict")), middle[w, "zodb"], middle[w, "graven"]) for w in TEXTS]


def _round(contender: Any, rows: Sequence[AuthorRow]) -> dict[str, float]:
    wanted = keys(len(rows), SMALL_TRANSACTIONS)
    found = {"W1": _timed(contender.insert, rows)}
    contender.forget()
    found["W2"] = _timed(contender.load)
    contender.forget()
    found["W4"] = _timed(contender.update_all)
    contender.forget()
    found["W8"] = _timed(contender.small_each, wanted) / len(wanted)
    expected = sum(row[3] for row in rows) + len(rows) + len(wanted)
    expect("ages", sum(author.age for author in contender.load()), expected)
    return found


def _timed(function: Callable[..., Any], *arguments: Any) -> float:
    gc.collect()
    start = perf_counter()
    function(*arguments)
    return perf_counter() - start


def _dict_and_lock(rows: Sequence[AuthorRow]) -> float:
    plain, lock = {row[0]: row for row in rows}, Lock()
    wanted = keys(len(rows), SMALL_TRANSACTIONS)

    def small_each() -> None:
        for key in wanted:
            with lock:
                i, name, mail, age, score, joined, active = plain[key]
                plain[key] = i, name, mail, age + 1, score, joined, active

    return _timed(small_each) / len(wanted)


def _shown(seconds: float) -> str:
    return f"{seconds * 1e3:.1f} ms" if seconds >= 1e-3 else f"{seconds * 1e6:.2f} µs"
