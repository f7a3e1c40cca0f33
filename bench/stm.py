"""The store in memory, against a plain dictionary under one lock."""

import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from threading import Barrier, Lock, Thread
from time import perf_counter
from typing import Any

from bench.report import Table, number, yes
from graven.stm import Store, Transaction

KEYS = range(10)
LAPS = 1_000


@dataclass(frozen=True)
class Line:
    """One thing that was measured, and what it must reach."""

    text: str
    plain: str
    store: str
    figure: str
    limit: str
    is_reached: bool

    def cells(self) -> list[str]:
        return [self.text, self.plain, self.store, self.figure, self.limit, yes(self.is_reached)]


def table(lines: list[Line]) -> Table:
    """What was measured, as a table."""
    head = ["", "dict and lock", "store", "ratio", "must reach", "reached"]
    return Table(head, [line.cells() for line in lines])


def run(rounds: int, is_quick: bool) -> list[Line]:
    """Measure everything."""
    scale = 10 if is_quick else 1
    return [
        *_small(rounds),
        _growth(rounds, 1_000_000 // scale),
        _memory(1_000_000 // scale),
        _disjoint(100_000 // scale),
        _counting(10_000 // scale),
    ]


# ── the cost of a transaction ───────────────────────────────────────────────────────────────


def _small(rounds: int) -> list[Line]:
    store, plain, lock = Store(), dict.fromkeys(KEYS, 0), Lock()
    store.timeline.commit({store.space: dict.fromkeys(KEYS, 0)})

    def locked() -> None:
        with lock:
            plain[0] = plain[0] + 1

    def handle() -> None:
        value = store.usevar(0)
        value.set(value.value + 1)
        value.commit()

    def add(tx: Transaction) -> None:
        tx[0] = tx[0] + 1

    def transaction() -> None:
        store.atomically(add)

    def locked_ten() -> None:
        with lock:
            held = {key: plain[key] for key in KEYS}
            for key in KEYS:
                held[key] = held[key] + 1
            plain.update(held)

    def using_ten() -> None:
        values = store.using(*KEYS)
        for value in values.values():
            value.set(value.value + 1)
        values.commit()

    seconds = _take_turns([locked, handle, transaction, locked_ten, using_ten], rounds)
    one, by_handle, by_tx, ten, by_using = seconds
    return [
        _ratio("read, change, commit one key: `usevar`", one, by_handle, 8),
        _ratio("the same: `atomically`", one, by_tx, 8),
        _ratio("read ten keys, change and commit them: `using`", ten, by_using, 5),
    ]


def _take_turns(functions: list[Callable[[], object]], rounds: int) -> list[float]:
    """The seconds of one call of each: medians of samples that were taken in turns."""
    samples: list[list[float]] = [[] for _ in functions]
    for _ in range(max(rounds, 3) * 10):
        for function, found in zip(functions, samples, strict=True):
            start = perf_counter()
            for _ in range(LAPS):
                function()
            found.append((perf_counter() - start) / LAPS)
    return [median(found) for found in samples]


def _ratio(text: str, plain: float, store: float, limit: float) -> Line:
    ratio = store / plain
    return Line(text, _us(plain), _us(store), number(ratio), f"≤ {limit:g}", ratio <= limit)


def _us(seconds: float) -> str:
    return f"{seconds * 1e6:.2f} µs"


# ── many keys ───────────────────────────────────────────────────────────────────────────────


def _growth(rounds: int, keys: int) -> Line:
    def change(size: int) -> Callable[[], object]:
        store = Store()
        store.timeline.commit({store.space: dict.fromkeys(range(size), 0)})

        def handle() -> None:
            value = store.usevar(5)
            value.set(value.value + 1)
            value.commit()

        return handle

    few, many = _take_turns([change(10), change(keys)], rounds)
    ratio = many / few
    text = f"a commit among {keys:,} keys, to one among ten"
    return Line(text, "–", f"{_us(few)}, {_us(many)}", number(ratio), "≤ 1.25", ratio <= 1.25)


def _memory(keys: int) -> Line:
    def fill_dict() -> Any:
        return {key: key + keys for key in range(keys)}

    def fill_store() -> Any:
        store = Store()
        for key in range(keys):
            store.atomically(lambda tx, key=key: tx.__setitem__(key, key + keys))
        return store

    plain, store = _bytes(fill_dict) / keys, _bytes(fill_store) / keys
    text = f"memory per key, {keys:,} keys, a commit each"
    ratio = store / plain
    return Line(text, f"{plain:.0f} B", f"{store:.0f} B", number(ratio), "≤ 3", ratio <= 3)


def _bytes(fill: Callable[[], Any]) -> int:
    """What *fill* leaves behind, keys and values included."""
    tracemalloc.start()
    try:
        kept = fill()
        found, _ = tracemalloc.get_traced_memory()
        del kept
        return found
    finally:
        tracemalloc.stop()


# ── several threads ─────────────────────────────────────────────────────────────────────────


def _together(works: list[Callable[[], None]]) -> float:
    """The seconds that *works* take, in a thread each."""
    gate = Barrier(len(works) + 1)

    def run(work: Callable[[], None]) -> None:
        gate.wait()
        work()

    threads = [Thread(target=run, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    gate.wait()
    start = perf_counter()
    for thread in threads:
        thread.join()
    return perf_counter() - start


def _disjoint(transactions: int) -> Line:
    store, runs = Store(), [0, 0]

    def work(me: int) -> None:
        def add(tx: Transaction) -> None:
            runs[me] += 1
            tx[me] = tx.get(me, 0) + 1

        for _ in range(transactions // 2):
            store.atomically(add)

    seconds = _together([lambda: work(0), lambda: work(1)])
    again = sum(runs) - transactions
    text = f"conflicts in {transactions:,} disjoint transactions, 2 threads"
    return Line(text, "–", f"{seconds:.2f} s", str(again), "0", again == 0)


def _counting(times: int) -> Line:
    store, plain, lock = Store(), {0: 0}, Lock()

    def add(tx: Transaction) -> None:
        tx[0] = tx.get(0, 0) + 1

    def work() -> None:
        for _ in range(times):
            store.atomically(add)

    def work_locked() -> None:
        for _ in range(times):
            with lock:
                plain[0] = plain[0] + 1

    locked, seconds = _together([work_locked] * 8), _together([work] * 8)
    found = store.usevar(0).value
    text = f"8 threads, {times:,} increments of one key each: the sum"
    shown = f"{seconds:.2f} s, {found:,}"
    return Line(
        text, f"{locked:.2f} s, {plain[0]:,}", shown, number(seconds / locked),
        f"{8 * times:,}", found == 8 * times,
    )  # fmt: skip
