"""Many rows at once: which way they go to PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graven import Model, key


class Counter(Model):
    name: str = key()
    value: int = 0


def test_new_rows_of_one_kind_are_copied_in_without_a_transaction_around_them(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Counter)
    seen: list[str] = []
    db.on_statement(lambda text, *_: seen.append(text))
    with db.session() as session:
        session.add(*[Counter(name=f"c{number}") for number in range(100)])
    db.on_statement(None)
    assert [text.split()[0] for text in seen] == ["copy"]
    with db.session() as session:
        assert session.query(Counter).count() == 100


def test_long_arrays_are_planned_for_and_short_ones_prepared(open_db: Callable[..., Any]) -> None:
    db = open_db(Counter)

    def prepared() -> list[str]:
        with db.session() as session:
            rows = session.execute("select statement from pg_prepared_statements")
        return [text for (text,) in rows if "update" in text and "unnest" in text]

    with db.session() as session:
        session.add(*[Counter(name=f"c{number:03}") for number in range(300)])
    with db.session() as session:
        for counter in session.query(Counter).all():
            counter.value += 1
    assert prepared() == []
    with db.session() as session:
        for counter in session.query(Counter).limit(5).all():
            counter.value += 1
    assert len(prepared()) == 1
    with db.session() as session:
        counters = session.query(Counter).order_by(Counter.name).all()
    assert [counter.value for counter in counters] == [2] * 5 + [1] * 295
