"""Workers that are killed one after another while they move money, and replaced."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from queue import Empty, SimpleQueue
from random import Random
from threading import Thread
from time import monotonic, sleep
from types import TracebackType
from uuid import UUID

from graven.demo.children import Child
from graven.demo.display import Task
from graven.demo.interrupts import check
from graven.demo.money import Ledger, Order

SILENCE_S_MAX = 60.0  # a crew of which nobody says a word for so long hangs
LAST_TRANSFER_S_MAX = 30.0  # a worker that was told to finish gets this long
BREATH_S = (0.1, 0.5)  # between two kills, at least and at most
AIM_S_MAX = 0.012  # a kill comes at most this long after the victim has begun a transfer


class Worker:
    """One process, and the thread that listens to it."""

    def __init__(self, name: str, child: Child, heard: SimpleQueue[tuple[Worker, str]]) -> None:
        """Pass on to *heard* what *child* says, and an empty line at its end."""
        self.name = name
        self.child = child
        self.is_expected_to_end = False
        self.order: UUID | None = None
        self._heard = heard
        self._listener = Thread(target=self._listen, name=f"graven-demo-{name}", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        for line in self.child.lines():
            self._heard.put((self, line))
        self._heard.put((self, ""))

    def kill(self) -> int:
        """Kill the process; when this returns, its last word is in the queue."""
        self.is_expected_to_end = True
        status = self.child.kill()
        self._listener.join()
        return status

    def dismiss(self) -> int:
        """Let the process finish its transfer, and return its exit status."""
        self.is_expected_to_end = True
        self.child.ask_to_finish()
        status = self.child.wait(LAST_TRANSFER_S_MAX)
        self._listener.join()
        return status


class Crew:
    """A number of workers at work on one database, and the ledger of what they say.

    Use it as a block: at its end all processes have ended, whatever happened.
    """

    def __init__(
        self,
        url: str,
        folder: Path,
        accounts: int,
        seed: int,
        module: str = "graven.demo.worker",
        *arguments: object,
    ) -> None:
        """Let workers of this crew move money among the *accounts* of the database at *url*.

        Each runs *module*, with url, seed, accounts, and *arguments*.
        """
        self.ledger = Ledger()
        self.kills = self.kills_in_the_middle = 0
        self.failures: list[str] = []
        self._folder, self._module = folder, module
        self._url, self._accounts, self._arguments = url, accounts, arguments
        self._seed = seed
        self._dice = Random(seed)
        self._hired = 0
        self._team: list[Worker] = []
        self._heard: SimpleQueue[tuple[Worker, str]] = SimpleQueue()
        self._children = ExitStack()

    def __enter__(self) -> Crew:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End every process that was started, by its id."""
        self._children.close()

    def work(self, workers: int, kills: int, task: Task) -> None:
        """Let *workers* work until *kills* of them were killed, then finish; show it in *task*."""
        self.hire(workers)
        while self.kills < kills and not self.failures:
            self.lose_one()
            task.reach(self.kills)
            task.say(f"{len(self.ledger.acknowledged):,} transfers acknowledged")
        self.go_home()
        task.say(f"{len(self.ledger.acknowledged):,} transfers acknowledged")

    def hire(self, count: int) -> None:
        """Start *count* workers."""
        for _ in range(count):
            self._hired += 1
            name = f"{self._module.rpartition('.')[2]}-{self._hired}"
            seed = self._seed * 10_000 + self._hired
            errors = self._folder / f"{name}.txt"
            arguments = (self._url, seed, self._accounts, *self._arguments)
            child = Child(self._module, *arguments, errors=errors)
            self._team.append(Worker(name, self._children.enter_context(child), self._heard))

    def lose_one(self) -> None:
        """Kill the worker that has been there longest while it moves money, and replace it."""
        victim = self._team.pop(0)
        self._listen_for(self._dice.uniform(*BREATH_S))
        self._listen_to_begin_of(victim)
        if self.failures:
            return
        sleep(self._dice.uniform(0, AIM_S_MAX))
        status = victim.kill()
        self._listen_for(0)
        if victim.child.last_words():  # who is killed says nothing
            self._failed(victim, status)
            return
        self.kills += 1
        self.kills_in_the_middle += victim.order is not None
        self.hire(1)

    def go_home(self) -> None:
        """Let every worker finish what it is doing, and listen to its last word."""
        for worker in self._team:
            if status := worker.dismiss():
                self._failed(worker, status)
        self._listen_for(0)
        self._team.clear()

    def _listen_for(self, seconds: float) -> None:
        """Take down what is said in that time, and all that was said before."""
        ends_at = monotonic() + seconds
        while True:
            check()
            try:
                self._take_down(*self._heard.get(timeout=max(ends_at - monotonic(), 0)))
            except Empty:
                return

    def _listen_to_begin_of(self, worker: Worker) -> None:
        """Take down what is said until *worker* begins a transfer."""
        known = worker.order
        while worker.order in (None, known) and not self.failures:
            try:
                self._take_down(*self._heard.get(timeout=SILENCE_S_MAX))
            except Empty:
                self.failures.append(f"nobody has said a word for {SILENCE_S_MAX:.0f} s")

    def _take_down(self, worker: Worker, line: str) -> None:
        if not line:
            if not worker.is_expected_to_end:
                self._failed(worker, worker.child.wait(LAST_TRANSFER_S_MAX))
            return
        word = json.loads(line)
        ledger = self.ledger
        if "begin" in word:
            name, *numbers = word["begin"]
            worker.order = UUID(name)
            ledger.ordered[worker.order] = Order(worker.order, *numbers)
            return
        worker.order = None
        ledger.conflicts += word.get("conflicts", 0)
        ledger.busy += word.get("busy", 0)
        if "done" in word:
            ledger.acknowledged[UUID(word["done"])] += 1
        elif "declined" in word:
            ledger.declined.add(UUID(word["declined"]))
        else:
            ledger.given_up.add(UUID(word["gave_up"]))

    def _failed(self, worker: Worker, status: int) -> None:
        self.failures.append(
            f"{worker.name} ended with status {status}: {worker.child.last_words()}"
        )
