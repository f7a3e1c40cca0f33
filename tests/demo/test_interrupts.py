"""Ctrl-C reaches the demo, wherever it strikes."""

from __future__ import annotations

import io
import os
import signal
import sys
import threading

import pytest
from rich.console import Console

from graven.demo.display import Display
from graven.demo.interrupts import check, interruptible


class Callback:
    """Is told of its end by Python itself, which ignores what is raised then."""

    def __init__(self, number: signal.Signals) -> None:
        self.number = number

    def __del__(self) -> None:
        os.kill(os.getpid(), self.number)
        for _ in range(1000):  # the handler runs within these
            pass


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_in_a_callback_is_not_lost(
    number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    ignored: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda found: ignored.append(found.exc_type))
    display = Display(Console(file=io.StringIO()))

    with pytest.raises(KeyboardInterrupt), interruptible(), display.task("a task") as task:
        Callback(number)
        assert ignored == [KeyboardInterrupt]
        task.reach(1)

    check()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_elsewhere_strikes_at_once_and_the_handlers_before_come_back(
    number: signal.Signals,
) -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt), interruptible():
        signal.raise_signal(number)

    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
    check()


def test_another_thread_can_run_it_and_hears_of_no_signal() -> None:
    told: list[str] = []

    def work() -> None:
        with interruptible():
            check()
            told.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert told == ["done"]
