"""What the demo shows, on a terminal and elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from graven.demo.display import Display
from graven.demo.outcome import SHOWN_MAX, Outcome, rate


def shown(outcome: Outcome, is_terminal: bool = False) -> str:
    out = io.StringIO()
    display = Display(Console(file=out, force_terminal=is_terminal, width=100))
    with display.task("counting [sheep]", 3) as task:
        assert [task.counted(value) for value in "abc"] == ["a", "b", "c"]
        task.say("three [woolly]")
    display.closing_table([outcome], 1.5)
    return out.getvalue()


def test_figures_and_verdict_are_shown() -> None:
    text = shown(Outcome("herd", {"sheep": 12_345}))

    assert "counting [sheep]" in text
    assert "three [woolly]" in text
    assert "12,345" in text
    assert "nothing differs, 1.5 s in all" in text


def test_a_terminal_sees_the_progress_live() -> None:
    outcome = Outcome("herd", {"sheep": 1})

    assert "\x1b[" in shown(outcome, is_terminal=True)
    assert "\x1b[" not in shown(outcome)


def test_every_difference_is_counted_and_the_first_ones_are_spelled_out() -> None:
    text = shown(Outcome("herd", {}, [f"sheep [{number}]" for number in range(SHOWN_MAX + 5)]))

    assert "differs herd: sheep [0]" in text
    assert f"sheep [{SHOWN_MAX}]" not in text
    assert "differs 5 more" in text
    assert "something differs" in text


@pytest.mark.parametrize(
    ("count", "seconds", "expected"), [(10, 0.5, 20), (12_345, 1.0, 12_300), (5, 0, 0)]
)
def test_a_rate_has_three_digits_and_no_infinity(count: int, seconds: float, expected: int) -> None:
    assert rate(count, seconds) == expected
