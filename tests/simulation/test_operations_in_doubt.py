"""The answer to a commit is lost, at every commit of an operation: it is done once all the same."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from graven import CommitUnknownError, Database, Model, UnavailableError, atomic
from graven.ops.operating import OPERATIONS
from graven.ops.requests import Commit, Insert, Operation, Update
from graven.testing import VirtualClock
from graven.testing.contract import rows
from graven.testing.simulation import SimulatedSQLite


class Account(Model):
    owner: str
    balance: int = 0


@atomic
def credit(account: Account, amount: int) -> Account:
    account.balance += amount
    return account


class LosesAnswers(SimulatedSQLite):
    """Loses the answer to request *number*, which was performed or not, and *more* after it."""

    def __init__(self, db: Any, number: int, was_performed: bool, more: int = 0) -> None:
        super().__init__(db)
        self.number, self.was_performed, self.more = number, was_performed, more

    def perform(self, request: Operation[Any], performer: Callable[[Any], Any]) -> Any:
        number = len(self.requests)
        if number == self.number:
            self.requests.append(request)
            if self.was_performed:
                performer(request)
            raise CommitUnknownError("the connection was lost")
        if self.number < number <= self.number + self.more:
            self.requests.append(request)
            raise UnavailableError("there is no connection to be had")
        return super().perform(request, performer)


@pytest.fixture
def db(tmp_path: Path) -> Any:
    made = Database(f"sqlite:///{tmp_path}/bank.db?synchronous=off", lease_s=30.0)
    made.create(Account)
    with made.session() as session:
        session.add(Account(owner="Ada"))
        session.commit()
        credit(session.query(Account).one(), 0)  # makes the tables of the log
    return made


def state_of(db: Any) -> tuple[int, list[tuple[str, str]]]:
    ((balance,),) = rows(db, Account, "balance")
    return balance, rows(db, OPERATIONS, "state", "arguments", order="timestamp")[1:]


def commits_of(db: Any) -> list[int]:
    """Return the numbers of the requests of a call that commit something; it credits 100."""
    with db.session() as session:
        account = session.query(Account).one()
        with SimulatedSQLite(db) as simulated:
            credit(account, 100)
    found = [type(one) for one in simulated.requests]
    assert found.count(Commit) == 1
    return [at for at, kind in enumerate(found) if kind in (Commit, Insert)]


@pytest.mark.parametrize("was_performed", [True, False])
@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("more", [0, 1, 2])
def test_a_lost_answer_is_found_out_by_the_log(
    db: Any, which: int, was_performed: bool, more: int
) -> None:
    number = commits_of(db)[which]
    with VirtualClock(), db.session() as session:
        account = session.query(Account).one()
        with LosesAnswers(db, number, was_performed, more):
            assert credit(account, 5) is account
        assert account.balance == 105
        assert [one for one, _ in state_of(db)[1]] == ["done", "done"]
        account.balance += 1
        session.commit()
    assert state_of(db)[0] == 106


@pytest.mark.parametrize("was_performed", [True, False])
def test_a_store_that_is_not_reached_leaves_it_to_recovery(db: Any, was_performed: bool) -> None:
    number = commits_of(db)[1]
    with VirtualClock() as clock:
        with db.session() as session:
            account = session.query(Account).one()
            with (
                LosesAnswers(db, number, was_performed, 100),
                pytest.raises(CommitUnknownError),
            ):
                credit(account, 5)
        clock.advance(60)
        assert db.recover().finished == (0 if was_performed else 1)
    assert state_of(db)[0] == 105
    assert [one for one, _ in state_of(db)[1]] == ["done", "done"]


def test_that_it_has_failed_is_not_forgotten_if_it_cannot_be_logged(db: Any) -> None:
    fails = [True]

    @atomic
    def failing(account: Account) -> None:
        account.balance += 1
        if fails:
            raise KeyError("mine")

    with VirtualClock() as clock:
        with db.session() as session:
            account = session.query(Account).one()
            with SimulatedSQLite(db) as simulated, pytest.raises(KeyError):
                failing(account)
            at = [type(one) for one in simulated.requests].index(Update)
            unavailable = SimulatedSQLite(
                db, error_at=at, error=lambda: UnavailableError("there is no connection")
            )
            with unavailable, pytest.raises(KeyError) as caught:
                failing(account)
        assert "run again by whoever recovers it" in caught.value.__notes__[0]
        fails.clear()
        clock.advance(60)
        assert db.recover().finished == 1
    assert state_of(db)[0] == 1
