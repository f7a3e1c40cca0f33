"""Operations whose process is killed, at every write and message: finished exactly once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from graven.testing import crashpoints
from tests.crash import operations as bank

COLOURS = [
    pytest.param(bank.work, bank.recover, id="blocking"),
    pytest.param(bank.work_async, bank.recover_async, id="async"),
]


@pytest.fixture(autouse=True)
def _effects(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRAVEN_EFFECTS", str(tmp_path / "effects"))


def die(url: str, work: Any, **options: Any) -> Any:
    """Kill *work* again and again, on the store at *url*."""
    report = crashpoints(
        url, work, bank.is_done_once_or_never_begun, prepare=bank.prepare, **options
    )
    print(report)
    return report


@pytest.mark.parametrize(("work", "recover"), COLOURS)
def test_a_death_at_any_moment_leaves_an_operation_that_is_finished_once_or_was_never_begun(
    url: str, work: Any, recover: Any, sample: int | None, seed: int
) -> None:
    report = die(url, work, recover=recover, sample=sample, seed=seed, reads=True)

    texts = " ".join(text for _, text in report.moments)
    assert "graven_operation" in texts
    assert "graven_step" in texts
    assert report.deaths == len(report.tried) == (sample or len(report.moments))


@pytest.mark.parametrize(("work", "recover"), COLOURS)
def test_a_death_of_the_recovery_too_changes_nothing(
    url: str, work: Any, recover: Any, sample: int | None, seed: int
) -> None:
    report = die(url, work, recover=recover, kill_recovery=True, sample=sample, seed=seed)

    assert report.deaths > len(report.tried)


@pytest.mark.parametrize(
    ("work", "recover"),
    [
        pytest.param(bank.work, bank.recover_by_two, id="two"),
        pytest.param(bank.work, bank.recover_by_ten, id="ten"),
        pytest.param(bank.work_async, bank.recover_by_ten_async, id="ten-async"),
    ],
)
def test_several_recoverers_at_once_finish_it_once(
    url: str, work: Any, recover: Any, sample: int | None, seed: int
) -> None:
    die(url, work, recover=recover, sample=sample, seed=seed)


def test_a_deferred_operation_commits_with_the_callers_data_and_is_done_once(
    url: str, sample: int | None, seed: int
) -> None:
    report = crashpoints(
        url,
        bank.defer_and_work,
        bank.is_done_with_the_callers_data_or_never_begun,
        prepare=bank.prepare,
        recover=bank.work_off,
        sample=sample,
        seed=seed,
    )

    assert report.deaths == len(report.tried)


def test_a_failing_operation_undoes_its_steps_whenever_its_process_dies(
    url: str, sample: int | None, seed: int
) -> None:
    report = crashpoints(
        url,
        bank.fail_and_undo,
        bank.everything_is_undone,
        prepare=bank.prepare,
        recover=bank.recover_until_ended,
        sample=sample,
        seed=seed,
    )

    assert report.deaths == len(report.tried)


def test_a_recoverer_killed_among_many_operations_leaves_them_to_the_next(
    url: str, sample: int | None, seed: int
) -> None:
    report = crashpoints(
        url,
        bank.recover,
        bank.every_deposit_is_done_once,
        prepare=bank.prepare_many,
        sample=sample,
        seed=seed,
    )

    assert len(report.moments) > 40
