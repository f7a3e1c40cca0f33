"""How @atomic functions are called: methods, joined calls, keys, transactions, lost races."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import (
    ConcurrentUpdate,
    Model,
    Operation,
    OperationError,
    QuarantinedError,
    UsageError,
    atomic,
    current_operation,
)
from graven.ops.operating import OPERATIONS
from graven.testing.contract import TRANSACTIONS, count, rows, update
from graven.testing.contract.suite.operations import Account, Die, both, log_of

pytestmark = pytest.mark.needs(TRANSACTIONS)

Open = Callable[..., Any]


class Saver(Model):
    owner: str
    balance: int = 0

    @atomic
    def pay(self, amount: int) -> str:
        self.balance += amount
        return f"{self.owner} got {amount}"

    @atomic
    async def pay_awaited(self, amount: int) -> str:
        self.balance += amount
        return f"{self.owner} got {amount}"

    @classmethod
    @atomic
    def opened(cls, owner: str) -> Any:
        return cls(owner=owner)

    @atomic
    @classmethod
    async def opened_awaited(cls, owner: str) -> Any:
        return cls(owner=owner)

    @staticmethod
    @atomic
    def doubled(number: int) -> int:
        return 2 * number

    @staticmethod
    @atomic
    async def doubled_awaited(number: int) -> int:
        return 2 * number


class GoldSaver(Saver):
    bonus: int = 1

    @atomic
    def pay(self, amount: int) -> str:
        return super().pay(amount + self.bonus) + "!"

    @atomic
    async def pay_awaited(self, amount: int) -> str:
        return await super().pay_awaited(amount + self.bonus) + "!"


def method(colour: Any, owner: Any, name: str, *args: Any) -> Any:
    title = name if colour.name == "blocking" else f"{name}_awaited"
    return colour.call(lambda: getattr(owner, title)(*args))


@both
def add(account: Account, amount: int) -> int:
    account.balance += amount
    return account.balance


@both
def echo(*args: Any) -> None:
    pass


@pytest.fixture
def db(open_db: Open) -> Any:
    made = open_db(Account, Saver)
    with made.session() as session:
        session.add(Account(owner="Ada", balance=100), Saver(owner="Sue"), GoldSaver(owner="Gus"))
    return made


def ada_of(session: Any) -> Account:
    found: Account = session.query(Account).where(Account.owner == "Ada").one()
    return found


# -- methods -------------------------------------------------------------------------------------


def test_a_method_runs_on_the_object_that_it_was_called_on(db: Any, colour: Any) -> None:
    with db.session() as session:
        sue = session.query(Saver).where(Saver.owner == "Sue").one()
        assert method(colour, sue, "pay", 3) == "Sue got 3"
        assert sue.balance == 3
        assert method(colour, Saver, "pay", sue, 4) == "Sue got 4"
    assert rows(db, Saver, "balance", owner="Sue") == [(7,)]


def test_an_override_joins_what_it_calls_by_super(db: Any, colour: Any) -> None:
    with db.session() as session:
        gus = session.query(GoldSaver).one()
        assert method(colour, gus, "pay", 3) == "Gus got 4!"
        assert gus.balance == 4
    (name,) = log_of(db, "method")
    assert name.rpartition(".")[0].endswith("GoldSaver")


@pytest.mark.parametrize("kind", [Saver, GoldSaver])
def test_a_class_method_runs_on_the_class_that_it_was_called_on(
    db: Any, colour: Any, kind: Any
) -> None:
    with db.session() as session:
        made = method(colour, kind, "opened", "Eve")
        assert type(made).__mro__[1] is kind
        assert session.query(Saver).where(Saver.owner == "Eve").one() is made


def test_a_static_method_is_an_operation(db: Any, colour: Any) -> None:
    with db.session():
        assert method(colour, Saver, "doubled", 4) == 8
    assert log_of(db, "state") == ["done"]


def test_a_generator_cannot_be_atomic() -> None:
    with pytest.raises(UsageError, match="generator"):

        @atomic
        def count_up() -> Any:
            yield 1


def test_two_functions_cannot_have_one_name() -> None:
    @atomic(name="the only one")
    def one() -> None: ...

    with pytest.raises(UsageError, match="has that name already"):

        @atomic(name="the only one")
        def other() -> None: ...


def test_models_of_one_name_do_not_get_into_each_others_way(db: Any, colour: Any) -> None:
    another = type(Account)("Account", (Model,), {"__annotations__": {"n": int}, "__module__": "x"})
    assert another is not Account
    with db.session() as session:
        assert add(colour, ada_of(session), 5) == 105
    (stored,) = log_of(db, "arguments")
    assert f'"{Account.__module__}.Account"' in stored


# -- inside an operation -------------------------------------------------------------------------


def test_nested_calls_join_the_outer_entry(db: Any, colour: Any) -> None:
    @both
    def twice(account: Account) -> Any:
        outer = current_operation()
        yield add.of(colour)(account, 1)
        yield add.of(colour)(account, 1)
        assert current_operation() is outer

    with db.session() as session:
        ada = ada_of(session)
        twice(colour, ada)
        assert ada.balance == 102
        assert current_operation() is None
    assert [name.split(".")[-1].split()[0] for name in log_of(db, "method")] == ["twice"]


def test_what_a_nested_call_fails_with_can_be_handled(db: Any, colour: Any) -> None:
    @both
    def failing(account: Account) -> Any:
        yield
        raise KeyError("inner")

    @both
    def brave(account: Account) -> Any:
        try:
            yield failing.of(colour)(account)
        except KeyError:
            account.balance = 1

    with db.session() as session:
        brave(colour, ada_of(session))
    assert rows(db, Account, "balance", owner="Ada") == [(1,)]
    assert log_of(db, "state") == ["done"]


def test_a_key_is_refused_inside_an_operation(db: Any, colour: Any) -> None:
    @both
    def outer(account: Account) -> Any:
        yield add.of(colour).options(key="mine")(account, 1)

    with db.session() as session, pytest.raises(UsageError, match="Give the key to the outer call"):
        outer(colour, ada_of(session))


def test_the_body_knows_its_operation(db: Any, colour: Any) -> None:
    seen = []

    @both
    def looking() -> None:
        running = current_operation()
        assert running is not None
        seen.append((running.id, running.name, running.attempt, running.fence))

    with db.session():
        looking(colour)
    assert seen == [(log_of(db, "id")[0], looking.of(colour).name, 1, 1)]


@pytest.mark.parametrize("how", ["commit", "one object", "scope", "save"])
def test_a_commit_in_the_body_is_made_at_its_end(db: Any, colour: Any, how: str) -> None:
    @both
    def committing(account: Account, spoilt: bool) -> Any:
        session = current_operation().session
        if how == "scope":
            scope = session.begin()
            account.balance = 1
            yield scope.commit()
        else:
            account.balance = 1
            if how == "save":
                yield account.save()
            else:
                yield session.commit(*([account] if how == "one object" else []))
        if spoilt:
            raise KeyError

    with db.session() as session:
        ada = ada_of(session)
        with pytest.raises(KeyError):
            committing(colour, ada, True)
        assert (ada.balance, rows(db, Account, "balance", owner="Ada")) == (100, [(100,)])
        committing(colour, ada, False)
        assert (ada.balance, rows(db, Account, "balance", owner="Ada")) == (1, [(1,)])


def test_what_the_body_flushes_is_committed_with_its_entry(db: Any, colour: Any) -> None:
    @both
    def flushing(account: Account, spoilt: bool) -> Any:
        account.balance = 1
        yield current_operation().session.flush()
        if spoilt:
            raise KeyError
        account.owner = "Eve"

    with db.session() as session:
        ada = ada_of(session)
        with pytest.raises(KeyError):
            flushing(colour, ada, True)
        flushing(colour, ada, False)
        assert (ada.balance, ada.owner) == (1, "Eve")
    assert log_of(db, "state") == ["failed", "done"]


# -- lost races ----------------------------------------------------------------------------------


def test_a_lost_race_runs_the_body_again_under_the_same_entry(db: Any, colour: Any) -> None:
    target, tries = getattr(db, "_target", db), []

    @both
    def racing(account: Account, amount: int) -> Any:
        tries.append(account.balance)
        if len(tries) == 1:
            yield update(target, Account, account.id, balance=1000)
        account.balance += amount

    with db.session() as session:
        ada = ada_of(session)
        racing(colour, ada, 5)
        assert (tries, ada.balance) == ([100, 1000], 1005)
    assert log_of(db, "state", "attempts") == [("done", 1)]


def test_what_was_only_read_is_checked_too(db: Any, colour: Any) -> None:
    target, tries = getattr(db, "_target", db), []

    @both
    def reading(source: Account) -> Any:
        tries.append(source.balance)
        if len(tries) == 1:
            yield update(target, Account, source.id, balance=7)
        Account(owner="Copy", balance=source.balance)

    with db.session() as session:
        reading(colour, ada_of(session))
    assert rows(db, Account, "balance", owner="Copy") == [(7,)]


def test_a_race_that_is_lost_too_often_fails(db: Any, colour: Any) -> None:
    target, tries = getattr(db, "_target", db), []

    @both
    def losing(account: Account) -> Any:
        tries.append(1)
        yield update(target, Account, account.id, balance=len(tries))
        account.balance += 1

    with db.session() as session:
        ada = ada_of(session)
        call = losing.of(colour).options(retries=2)
        with pytest.raises(ConcurrentUpdate):
            colour.call(lambda: call(ada))
    assert len(tries) == 3
    assert log_of(db, "state") == ["failed"]


# -- keys ----------------------------------------------------------------------------------------


def keyed(colour: Any, function: Any, key: str, *args: Any, **options: Any) -> Any:
    call = function.of(colour).options(key=key, **options)
    return colour.call(lambda: call(*args))


def test_the_second_call_with_a_key_returns_the_first_ones_result(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada = ada_of(session)
        assert keyed(colour, add, "order 7", ada, 5) == 105
        assert keyed(colour, add, "order 7", ada, 5) == 105
        assert keyed(colour, add, "order 8", ada, 5) == 110
        assert ada.balance == 110
    with db.session() as session:
        assert keyed(colour, add, "order 7", ada_of(session), 5) == 105
    assert log_of(db, "key") == ["order 7", "order 8"]


def test_a_stored_result_has_the_callers_objects(db: Any, colour: Any) -> None:
    @both
    def pair(account: Account) -> Any:
        return [account, Account(owner="New")]

    with db.session() as session:
        ada = ada_of(session)
        first = keyed(colour, pair, "k", ada)
        assert keyed(colour, pair, "k", ada) == first
    with db.session() as session:
        ada = ada_of(session)
        again = keyed(colour, pair, "k", ada)
        assert again[0] is ada
        assert again[1].owner == "New"
        again[1].balance = 4
    assert rows(db, Account, "balance", owner="New") == [(4,)]


def test_what_has_failed_with_a_key_is_run_again(db: Any, colour: Any) -> None:
    fails = [True]

    @both
    def shaky(account: Account) -> None:
        account.balance += 1
        if fails:
            raise KeyError(fails.pop())

    with db.session() as session:
        ada = ada_of(session)
        with pytest.raises(KeyError):
            keyed(colour, shaky, "k", ada)
        assert keyed(colour, shaky, "k", ada) is None
        assert ada.balance == 101
    assert log_of(db, "state", "attempts", "error") == [("done", 2, None)]


def test_a_key_stands_for_one_call_only(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada = ada_of(session)
        keyed(colour, add, "k", ada, 5)
        with pytest.raises(OperationError, match="called with other arguments"):
            keyed(colour, add, "k", ada, 6)
        call = add.of(colour).options(key="k")
        assert colour.call(lambda: call(account=ada, amount=5)) == 105
    assert rows(db, Account, "balance", owner="Ada") == [(105,)]


def test_a_call_waits_for_the_one_of_its_key_no_longer_than_told(db: Any, colour: Any) -> None:
    @both
    def dying(account: Account) -> None:
        raise Die

    with db.session() as session:
        ada = ada_of(session)
        with pytest.raises(Die):
            keyed(colour, dying, "k", ada)
        with pytest.raises(OperationError, match="still running"):
            keyed(colour, dying, "k", ada, timeout_s=0.01)


@pytest.mark.parametrize(
    ("state", "error"), [("quarantined", QuarantinedError), ("cancelled", OperationError)]
)
def test_what_waits_for_a_person_is_not_run_by_its_key(
    db: Any, colour: Any, state: str, error: type
) -> None:
    with db.session() as session:
        ada = ada_of(session)
        keyed(colour, add, "k", ada, 5)
        update(db, OPERATIONS, log_of(db, "id")[0], state=state)
        with pytest.raises(error, match=f"is {state}"):
            keyed(colour, add, "k", ada, 5)


@pytest.mark.parametrize("key", ["", 7])
def test_a_key_has_to_be_a_text(key: Any) -> None:
    with pytest.raises(UsageError, match="a key is a text"):
        add.blocking.options(key=key)


# -- in a transaction ----------------------------------------------------------------------------


def test_a_call_in_a_transaction_is_a_part_of_it(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada = ada_of(session)
        with db.transaction():
            assert add(colour, ada, 5) == 105
            ada.balance += 1
            session.commit()
        assert ada.balance == 106
    assert rows(db, Account, "balance", owner="Ada") == [(106,)]
    assert log_of(db, "state", "due") == [("done", None)]


def test_a_transaction_that_is_rolled_back_takes_the_call_along(db: Any, colour: Any) -> None:
    @both
    def making(account: Account) -> Account:
        account.balance = 7
        return Account(owner="New")

    with db.session() as session:
        ada = ada_of(session)
        with pytest.raises(KeyError), db.transaction():
            made = making(colour, ada)
            assert (ada.balance, made.owner) == (7, "New")
            raise KeyError
        assert ada.balance == 100
        assert session.get(Account, made.id) is None
        ada.balance += 1
    assert rows(db, Account, "balance") == [(101,)]
    assert log_of(db, "id") == []


def test_what_fails_in_a_transaction_can_be_handled_there(db: Any, colour: Any) -> None:
    @both
    def failing(account: Account) -> None:
        account.balance = 7
        raise KeyError("no")

    with db.session() as session, db.transaction():
        ada = ada_of(session)
        with pytest.raises(KeyError):
            failing(colour, ada)
        assert ada.balance == 100
        ada.balance = 101
        session.commit()
    assert rows(db, Account, "balance") == [(101,)]
    assert log_of(db, "state") == ["failed"]


def test_a_key_holds_in_a_transaction_too(db: Any, colour: Any) -> None:
    with db.session() as session, db.transaction():
        ada = ada_of(session)
        assert keyed(colour, add, "k", ada, 5) == 105
        assert keyed(colour, add, "k", ada, 5) == 105
    assert rows(db, Account, "balance") == [(105,)]


def test_a_caller_that_holds_a_transaction_of_its_own_is_told(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada = ada_of(session)
        session.add(Account(owner="Flushed"))
        session.flush()
        with pytest.raises(OperationError, match="Commit or roll back first"):
            add(colour, ada, 5)
        session.commit()
        assert add(colour, ada, 5) == 105


# -- whose database ------------------------------------------------------------------------------


def test_without_a_model_or_a_session_the_database_has_to_be_named(db: Any, colour: Any) -> None:
    @both
    def make(owner: str) -> None:
        Account(owner=owner)

    with pytest.raises(UsageError, match=r"db\.atomic\(function\)"):
        make(colour, "Eve")
    bound = getattr(db, "_target", db).atomic(make.of(colour))
    colour.call(lambda: bound("Eve"))
    assert count(db, Account, owner="Eve") == 1


def test_arguments_of_two_databases_are_refused(
    db: Any, colour: Any, new_url: Callable[[], str]
) -> None:
    other = colour.open(new_url())
    other.create(Account)
    with db.session() as here, other.session() as there:
        bob = Account(owner="Bob")
        there.add(bob)
        there.commit()
        with pytest.raises(UsageError, match="2 databases"):
            echo(colour, ada_of(here), bob)


def test_a_function_of_the_other_colour_is_refused(db: Any, colour: Any) -> None:
    other = add.awaited if colour.name == "blocking" else add.blocking
    with db.session() as session:
        ada = ada_of(session)
        with pytest.raises(UsageError, match=r"cannot call .* on "):
            colour.call(lambda: other(ada, 1))
    assert rows(db, Account, "balance") == [(100,)]


# -- as a block ----------------------------------------------------------------------------------


def test_a_block_is_an_operation(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada = ada_of(session)
        with entered(colour, lambda: Operation(None, add.of(colour), ada, 30)) as operation:
            account, amount = operation.args
            assert account is not ada
            assert current_operation_in(colour).id == operation.id
            account.balance += amount
        assert ada.balance == 130
    assert log_of(db, "state", "method") == [("done", add.of(colour).name)]


def test_a_block_that_fails_writes_nothing(db: Any, colour: Any) -> None:
    with db.session() as session:
        ada = ada_of(session)
        with (
            pytest.raises(KeyError),
            entered(colour, lambda: Operation(None, add.of(colour), ada, 30)) as operation,
        ):
            operation.args[0].balance = 0
            raise KeyError("no")
        assert ada.balance == 100
    assert log_of(db, "state", "error") == [("failed", "KeyError: 'no'")]


def test_a_block_needs_what_can_be_called_again() -> None:
    with pytest.raises(UsageError, match="it is not atomic"):
        Operation(None, len, 1)


def current_operation_in(colour: Any) -> Any:
    return colour.call(current_operation)


class entered:  # noqa: N801 - it stands for `with`
    """Enter an operation in the colour."""

    def __init__(self, colour: Any, make: Callable[[], Any]) -> None:
        self.colour, self.make = colour, make

    def __enter__(self) -> Any:
        self.operation = self.colour.call(self.make)
        is_blocking = self.colour.name == "blocking"
        enter = self.operation.__enter__ if is_blocking else self.operation.__aenter__
        self.leave = self.operation.__exit__ if is_blocking else self.operation.__aexit__
        return self.colour.call(enter)

    def __exit__(self, *details: Any) -> None:
        self.colour.call(lambda: self.leave(*details))
