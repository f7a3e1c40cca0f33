"""@atomic: a call is logged, run in a session of its own, and committed with its entry."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from graven import (
    ConcurrentUpdate,
    NotFoundError,
    NotSerializableError,
    OperationError,
    current_operation,
)
from graven.ops.operating import OPERATIONS
from graven.testing.contract import TRANSACTIONS, count, delete, rows, update
from graven.testing.contract.suite.operations import (
    Account,
    Letter,
    Numbered,
    Receipt,
    Writer,
    both,
    log_of,
)

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]


@both
def transfer(source: Account, target: Account, amount: int) -> Receipt:
    source.balance -= amount
    target.balance += amount
    if source.balance < 0:
        raise ValueError(f"{source.owner} has too little")
    return Receipt(source=source, target=target, amount=amount)


@both
def echo(*args: Any, **kwargs: Any) -> Any:
    return [*args, kwargs] if kwargs else args[0]


@pytest.fixture
def db(open_db: Open) -> Any:
    made = open_db(Account, Receipt, Writer, Letter, Numbered)
    with made.session() as session:
        session.add(Account(owner="Ada", balance=100), Account(owner="Bob"))
    return made


def accounts(session: Any) -> list[Account]:
    found: list[Account] = session.query(Account).order_by(Account.owner).all()
    return found


# -- the entry and the writes --------------------------------------------------------------------


def test_a_call_commits_what_it_writes_and_the_end_of_its_entry(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        transfer(colour, ada, bob, 30)
    assert rows(db, Account, "balance", order="owner") == [(70,), (30,)]
    assert rows(db, Receipt, "amount", "source_id") == [(30, ada.id)]
    ((method, state, due, attempts, error, version),) = log_of(
        db, "method", "state", "due", "attempts", "error", "version"
    )
    assert method == transfer.of(colour).name
    assert (state, due, attempts, error, version) == ("done", None, 1, None, 2)


def test_a_call_is_logged_before_its_body_runs(db: Any, colour: Any) -> None:
    seen = []

    @both
    def looking(place: str) -> Any:
        found = yield rows(colour_db, OPERATIONS, "state", "attempts", "result")
        seen.extend(found)

    colour_db = getattr(db, "_target", db)
    with db.session():
        looking(colour, "here")
    assert seen == [("running", 1, None)]
    assert log_of(db, "state") == ["done"]


def test_what_fails_writes_nothing_and_says_so_in_its_entry(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        with pytest.raises(ValueError, match="Ada has too little"):
            transfer(colour, ada, bob, 300)
        assert (ada.balance, bob.balance) == (100, 0)
        assert list(session.dirty) == []
    assert (count(db, Receipt), rows(db, Account, "balance", order="owner")) == (0, [(100,), (0,)])
    ((state, due, error),) = log_of(db, "state", "due", "error")
    assert (state, due, error) == ("failed", None, "ValueError: Ada has too little")


def test_the_session_is_usable_after_a_failed_call(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        with pytest.raises(ValueError, match="too little"):
            transfer(colour, ada, bob, 300)
        transfer(colour, ada, bob, 10)
        ada.balance += 1
    assert rows(db, Account, "balance", order="owner") == [(91,), (10,)]


# -- the caller's objects ------------------------------------------------------------------------


def test_the_callers_objects_have_the_new_values(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        receipt = transfer(colour, ada, bob, 30)
        assert (ada.balance, bob.balance) == (70, 30)
        assert receipt.source is ada
        assert receipt.target is bob
        assert [session.state(one) for one in (ada, bob, receipt)] == ["clean"] * 3
        assert session.get(Receipt, receipt.id) is receipt
        ada.balance += 5
        receipt.amount += 1
    assert rows(db, Account, "balance", order="owner") == [(75,), (30,)]
    assert rows(db, Receipt, "amount") == [(31,)]


def test_an_object_that_the_body_deletes_is_deleted_for_the_caller(db: Any, colour: Any) -> None:
    @both
    def close(account: Account) -> None:
        session_of().delete(account)

    with db.session() as session:
        ada, bob = accounts(session)
        close(colour, ada)
        assert session.get(Account, ada.id) is None
        assert accounts(session) == [bob]
        with pytest.raises(OperationError, match="is deleted"):
            close(colour, ada)
    assert count(db, Account) == 1


def session_of() -> Any:
    running = current_operation()
    assert running is not None
    return running.session


def test_loaded_lists_of_the_caller_follow(db: Any, colour: Any) -> None:
    @both
    def write(writer: Writer, text: str) -> Letter:
        return Letter(writer=writer, text=text)

    @both
    def burn(letter: Letter) -> None:
        session_of().delete(letter)

    with db.session() as session:
        writer = Writer(name="Ada")
        session.add(writer)
        session.commit()
        letter = write(colour, writer, "first")
        assert writer.letters == [letter]
        assert letter.writer is writer
        second = write(colour, writer, "second")
        burn(colour, letter)
        assert writer.letters == [second]
        assert list(session.dirty) == []
    assert rows(db, Letter, "text") == [("second",)]


def test_edits_of_the_caller_that_are_not_arguments_are_left_alone(db: Any, colour: Any) -> None:
    @both
    def rename(bob_id: Any, owner: str) -> Any:
        found = yield session_of().get(Account, bob_id)
        found.owner = owner

    with db.session() as session:
        ada, bob = accounts(session)
        ada.balance, bob.balance = 5, 7
        rename(colour, bob.id, "Robert")
        assert (ada.balance, bob.balance, bob.owner) == (5, 7, "Bob")
        with pytest.raises(ConcurrentUpdate, match="Robert"):
            session.commit()
        session.rollback()
    assert rows(db, Account, "balance", "owner", order="owner") == [(100, "Ada"), (0, "Robert")]


def test_a_key_that_the_caller_has_looked_for_in_vain_is_found(db: Any, colour: Any) -> None:
    @both
    def make(id: Any) -> None:
        Account(id=id, owner="Eve")

    key = uuid4()
    with db.session() as session:
        assert session.get(Account, key) is None
        make(colour, key)
        eve = session.get(Account, key)
        eve.balance = 3
    assert rows(db, Account, "balance", owner="Eve") == [(3,)]


# -- arguments -----------------------------------------------------------------------------------


@pytest.mark.parametrize("found", ["new", "changed", "deleted", "changed after its session"])
def test_an_argument_that_is_not_committed_is_refused(db: Any, colour: Any, found: str) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        if found == "changed after its session":
            session.close()
            ada.balance = 3
        elif found == "new":
            ada = Account(owner="Eve")
            session.add(ada)
        elif found == "deleted":
            session.delete(ada)
        else:
            ada.balance = 3
        with pytest.raises(OperationError, match="Commit first"):
            transfer(colour, bob, ada, 1)
    assert log_of(db, "id") == []


def test_what_cannot_be_stored_is_refused_by_name_before_anything_runs(
    db: Any, colour: Any
) -> None:
    with db.session() as session:
        ada, _ = accounts(session)
        with pytest.raises(NotSerializableError, match="argument 'target'"):
            transfer(colour, ada, object(), 1)
        with pytest.raises(NotSerializableError, match="argument 'how'"):
            echo(colour, ada, how=[lambda: None])
        with pytest.raises(NotSerializableError, match="argument 'amount'"):
            transfer(colour, ada, ada, "\ud800")
    assert log_of(db, "id") == []


def test_arguments_that_the_function_does_not_take_are_refused(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        with pytest.raises(TypeError, match=r"missing 1 required positional argument: 'amount'"):
            transfer(colour, ada, bob)
    assert log_of(db, "id") == []


VALUES = [
    None,
    True,
    -(2**70),
    2.5,
    "tëxt",
    b"\0\xff",
    Decimal("1.50"),
    [1, (2, {3}), {"a": [None]}],
    {"$odd.key": 1, 2: 3},
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_values_come_to_the_body_and_back_as_they_are(db: Any, colour: Any, value: Any) -> None:
    with db.session():
        found = echo(colour, value)
        assert (found, type(found)) == (value, type(value))
        assert echo(colour, value, more=value) == [value, {"more": value}]


def test_models_are_references_at_any_depth(db: Any, colour: Any) -> None:
    @both
    def swap(pairs: dict[str, list[Account]], *, by: Account) -> Any:
        (first, second), (third,) = pairs["both"], pairs["one"]
        assert first is third is by
        first.balance, second.balance = second.balance, first.balance
        return {"second": (second, [first])}

    with db.session() as session:
        ada, bob = accounts(session)
        found = swap(colour, {"both": [ada, bob], "one": [ada]}, by=ada)
        assert (ada.balance, bob.balance) == (0, 100)
        assert found["second"][0] is bob
        assert found["second"][1][0] is ada


def test_an_argument_that_somebody_has_deleted_is_told(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        delete(db, Account, ada.id)
        with pytest.raises(NotFoundError, match="Somebody has deleted it"):
            transfer(colour, ada, bob, 1)
    assert log_of(db, "state") == ["failed"]


def test_the_body_sees_what_the_store_has_now(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        update(db, Account, ada.id, balance=500)
        transfer(colour, ada, bob, 300)
        assert (ada.balance, bob.balance) == (200, 300)


# -- the result ----------------------------------------------------------------------------------


def test_a_result_that_cannot_be_stored_is_refused_before_the_commit(db: Any, colour: Any) -> None:
    @both
    def spoil(account: Account) -> Any:
        account.balance = 0
        return object()

    with db.session() as session:
        ada, _ = accounts(session)
        with pytest.raises(NotSerializableError, match=r"spoil.* returned"):
            spoil(colour, ada)
    assert rows(db, Account, "balance", owner="Ada") == [(100,)]
    assert log_of(db, "state") == ["failed"]


def test_a_result_that_the_store_will_not_have_is_refused(db: Any, colour: Any) -> None:
    @both
    def close(account: Account) -> Account:
        session_of().delete(account)
        return account

    with db.session() as session:
        ada, _ = accounts(session)
        with pytest.raises(NotSerializableError, match="the store will not have"):
            close(colour, ada)
        assert session.get(Account, ada.id) is ada
    assert count(db, Account) == 2


def test_a_key_that_the_store_makes_is_known_in_the_result(db: Any, colour: Any) -> None:
    @both
    def number(size: int) -> Numbered:
        return Numbered(size=size)

    with db.session() as session:
        made = number(colour, 7)
        assert made.id is not None
        assert session.get(Numbered, made.id) is made
    (stored,) = log_of(db, "result")
    assert f'"__key__":{made.id}' in stored


def test_the_state_and_the_result_can_be_asked_for(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        receipt = transfer(colour, ada, bob, 30)
        (logged,) = log_of(db, "id")
        handle = db.operation(logged)
        assert (handle.id, handle.state, handle.attempts) == (logged, "done", 1)
        assert handle.result() is receipt
        assert handle.wait(timeout_s=0) is receipt
        assert handle.arguments() == ([ada, bob, 30], {})
        assert [what for _, what in handle.history] == ["logged", "done"]
    with pytest.raises(NotFoundError, match="no entry of that id"):
        db.operation(uuid4())


def test_the_result_of_what_has_failed_says_why(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada, bob = accounts(session)
        with pytest.raises(ValueError, match="too little"):
            transfer(colour, ada, bob, 300)
    handle = db.operation(log_of(db, "id")[0])
    assert "too little" in handle.error
    with pytest.raises(OperationError, match="is failed: ValueError: Ada has too little"):
        handle.wait()
