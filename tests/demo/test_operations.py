"""Operations that are really interrupted, and a check of the log that can fail."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from rich.console import Console

from graven import Database, OperationLog
from graven.demo import operations, payments
from graven.demo.bank import open_accounts
from graven.demo.display import Display
from graven.demo.money import Account
from graven.demo.outcome import Outcome

SEED = 11


def test_killed_workers_leave_operations_that_recovery_finishes_exactly_once(
    tmp_path: Path,
) -> None:
    outcome = operations.show(
        tmp_path, Display(Console(file=io.StringIO())), SEED, workers=2, kills=2, accounts=4
    )

    assert outcome.differences == []
    figures = outcome.figures
    assert figures["workers killed"] == 2
    assert figures["operations found open"] == figures["finished by recovery"]
    assert figures["operations in the log"] >= figures["done exactly once"] > 0
    assert figures["money at the end"] == figures["money at first"] == 400_000


def test_an_interrupted_operation_is_finished_by_one_of_two_recoverers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, notary = f"sqlite:///{tmp_path}/operations.db", tmp_path / "notary.txt"
    open_accounts(url, 2, 100)
    order = uuid4()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with Database(url, lease_s=0.2) as db:
        with (
            monkeypatch.context() as patch,
            pytest.raises(KeyboardInterrupt),
            db.session() as session,
        ):
            patch.setattr(payments, "stamp", interrupt)
            source, target = session.query(Account).order_by(Account.number).all()
            payments.pay.options(key=str(order))(source, target, 5, order, str(notary))
        outcome = Outcome("operations")
        operations.recover(url, outcome)
        with db.session() as session:
            states = [one.state for one in session.query(OperationLog).all()]
            balances = {one.number: one.balance for one in session.query(Account).all()}

    assert (states, balances) == (["done"], {0: 95, 1: 105})
    assert notary.read_text().split() == [str(order)]
    assert outcome.figures["operations found open"] == 1
    assert outcome.figures["finished by recovery"] == 1


def differences(states: dict[UUID, str], transfers: set[UUID], stamps: Counter[UUID]) -> list[str]:
    return list(operations.log_differences(states, transfers, stamps))


def test_the_check_of_the_log_finds_what_does_not_agree() -> None:
    one, two = uuid4(), uuid4()

    assert differences({one: "done", two: "failed"}, {one}, Counter([one, one])) == []
    assert differences({one: "running"}, set(), Counter()) == [
        f"operation {one} is running, transfer there: False"
    ]
    assert differences({one: "failed"}, {one}, Counter([one])) == [
        f"operation {one} is failed, transfer there: True"
    ]
    assert differences({one: "done"}, set(), Counter([one])) == [
        f"operation {one} is done, and its transfer is not there"
    ]
    assert differences({}, {one}, Counter([one])) == [
        f"transfer {one} is there, and no operation of it is in the log",
        f"the notary has stamped {one}, and no operation of it is in the log",
    ]
    assert differences({one: "done"}, {one}, Counter()) == [
        f"operation {one} is done, and the notary has not stamped it"
    ]
