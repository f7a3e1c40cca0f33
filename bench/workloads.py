"""The workloads: prepare, time, check. Each gives seconds per unit of work (W9: bytes)."""

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from time import perf_counter
from typing import Any

from bench import data
from bench.contenders.base import Contender
from bench.store import Store, expect

GETS = 2_000
HOPS = 2_000
WARM_LAPS = 10
ATTRIBUTE_LAPS = 5_000
REPEATS = 20
UNROLLED = 10
NEW_AGE = 1_000


@dataclass(frozen=True)
class Stand:
    """A contender and its file, seen from both sides."""

    contender: Contender
    store: Store

    def rows(self, count: int) -> list[data.AuthorRow]:
        return data.authors(count, self.contender.aware)

    def shelves(self, count: int) -> list[data.Shelf]:
        return data.shelves(count, self.contender.aware)

    def fill_authors(self, count: int) -> None:
        insert = self.contender.insert
        self.store.fill(f"authors.{count}", lambda: insert(self.rows(count)))

    def fill_books(self, count: int) -> None:
        insert = self.contender.insert_books
        self.store.fill(f"books.{count}", lambda: insert(self.shelves(count)))

    def expect_objects(self, authors: Sequence[Any], numbers: Sequence[int]) -> None:
        """Check every field of every loaded author, types of values included."""
        found = {row[0]: row for row in map(self._plain, authors)}
        expect("loaded authors", found, {number: data.author(number) for number in numbers})

    def _plain(self, author: Any) -> data.AuthorRow:
        return data.plain(self.contender.values(author))


def timed(function: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    """Seconds and result of a call that starts with no garbage."""
    gc.collect()
    start = perf_counter()
    result = function(*args)
    return perf_counter() - start, result


def best(function: Callable[..., Any], *args: Any) -> tuple[float, Any]:
    """The shortest of a few calls: for what takes so little that any interruption would show."""
    return min((timed(function, *args) for _ in range(REPEATS)), key=itemgetter(0))


def insert(stand: Stand, rows: int) -> float:
    stand.store.clear()
    source = stand.rows(rows)
    seconds, _ = timed(stand.contender.insert, source)
    stand.store.expect_authors(source)
    return seconds


def load(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    seconds, authors = timed(stand.contender.load)
    stand.expect_objects(authors, range(1, rows + 1))
    return seconds


def get_cold(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    keys = data.keys(rows, GETS)
    seconds, authors = timed(stand.contender.get_each, keys)
    stand.expect_objects(authors, keys)
    return seconds / len(keys)


def get_warm(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    keys = data.keys(rows, rows) * WARM_LAPS
    with stand.contender.tracked() as authors:
        seconds, found = timed(stand.contender.warm_each, keys)
        same = [author for author in authors if author is found]
        stand.expect_objects(same, keys[-1:])
    return seconds / len(keys)


def update(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    seconds, _ = timed(stand.contender.update_all)
    source = stand.rows(rows)
    stand.store.expect_authors(source, sum(row[3] for row in source) + rows)
    return seconds


def insert_books(stand: Stand, rows: int) -> float:
    stand.store.clear()
    shelves = stand.shelves(rows // data.BOOKS_EACH)
    seconds, _ = timed(stand.contender.insert_books, shelves)
    stand.store.expect_authors([row for row, _ in shelves])
    stand.store.expect_books([(row[0], book) for row, books in shelves for book in books])
    return seconds


def load_books(stand: Stand, rows: int) -> float:
    count = rows // data.BOOKS_EACH
    stand.fill_books(count)
    seconds, books = timed(stand.contender.load_books)
    found = sorted(stand.contender.book_values(book) for book in books)
    expected = [(*book, row[0], row[1]) for row, books in data.shelves(count) for book in books]
    expect("loaded books", found, expected)
    return seconds


def delete(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    seconds, _ = timed(stand.contender.delete_all)
    stand.store.expect_empty()
    return seconds


def small(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    keys = data.keys(rows, stand.store.small_transactions)
    seconds, _ = timed(stand.contender.small_each, keys)
    source = stand.rows(rows)
    stand.store.expect_authors(source, sum(row[3] for row in source) + len(keys))
    return seconds / len(keys)


def operate(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    count = min(stand.store.small_transactions, stand.contender.operations_max)
    keys = data.keys(rows, count)
    seconds, _ = timed(stand.contender.operate_each, stand.contender.arguments(keys))
    source = stand.rows(rows)
    stand.store.expect_authors(source, sum(row[3] for row in source) + len(keys))
    return seconds / len(keys)


def read_attribute(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    with stand.contender.tracked() as authors:
        seconds, _ = best(_read_age, _one(authors))
    return seconds / (ATTRIBUTE_LAPS * UNROLLED)


def write_attribute(stand: Stand, rows: int) -> float:
    """The object was written before, so its changes are being tracked already."""
    stand.fill_authors(rows)
    with stand.contender.tracked() as authors:
        author = _one(authors)
        author.age = NEW_AGE
        seconds, _ = best(_write_age, author)
        expect("age of the object", author.age, ATTRIBUTE_LAPS - 1)
        old = data.author(author.id)[3]
    _expect_written(stand, rows, ATTRIBUTE_LAPS - 1 - old)
    return seconds / (ATTRIBUTE_LAPS * UNROLLED)


def write_first(stand: Stand, rows: int) -> float:
    stand.fill_authors(rows)
    with stand.contender.tracked() as authors:
        seconds, _ = timed(_write_each, authors)
        expect("ages of the objects", {author.age for author in authors}, {NEW_AGE})
    source = stand.rows(rows)
    _expect_written(stand, rows, sum(NEW_AGE - row[3] for row in source))
    return seconds / rows


def memory(stand: Stand, rows: int) -> float:
    """Ten times as many objects as elsewhere, all held; what the session holds is counted too."""
    count = rows * 10
    stand.fill_authors(count)
    gc.collect()
    tracemalloc.start()
    try:
        return _memory_of(stand, count)
    finally:
        tracemalloc.stop()


def hop(stand: Stand, rows: int) -> float:
    seconds, _ = timed(stand.contender.hops, HOPS)  # type: ignore[attr-defined]
    return seconds / HOPS


def _memory_of(stand: Stand, count: int) -> float:
    before, _ = tracemalloc.get_traced_memory()
    with stand.contender.hold() as authors:
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        expect("objects held", len(authors), count)
    return (after - before) / count


def _one(authors: Sequence[Any]) -> Any:
    return authors[len(authors) // 2]


def _expect_written(stand: Stand, rows: int, difference: int) -> None:
    """A unit of work has noticed the edits and written them; others were not asked to."""
    if stand.contender.unit_of_work:
        source = stand.rows(rows)
        stand.store.expect_authors(source, sum(row[3] for row in source) + difference)


def _read_age(author: Any) -> None:
    for _ in range(ATTRIBUTE_LAPS):
        author.age
        author.age
        author.age
        author.age
        author.age
        author.age
        author.age
        author.age
        author.age
        author.age


def _write_age(author: Any) -> None:
    """Write a value that differs from the one before, each time."""
    other = NEW_AGE
    for age in range(ATTRIBUTE_LAPS):
        author.age = other
        author.age = age
        author.age = other
        author.age = age
        author.age = other
        author.age = age
        author.age = other
        author.age = age
        author.age = other
        author.age = age


def _write_each(authors: Sequence[Any]) -> None:
    for author in authors:
        author.age = NEW_AGE


RUNS: dict[str, Callable[[Stand, int], float]] = {
    "W1": insert,
    "W2": load,
    "W3": get_cold,
    "W3b": get_warm,
    "W4": update,
    "W5i": insert_books,
    "W5l": load_books,
    "W6": delete,
    "W7r": read_attribute,
    "W7w": write_attribute,
    "W7f": write_first,
    "W8": small,
    "W9": memory,
    "W11": operate,
    "hop": hop,
}


def applies(contender: Contender, workload: str) -> bool:
    """Whether the contender has an answer to that workload."""
    if workload == "W11":
        return contender.operations
    if workload == "W3b":
        return contender.identity_map and workload not in contender.skips
    return hasattr(contender, "hops") if workload == "hop" else workload not in contender.skips
