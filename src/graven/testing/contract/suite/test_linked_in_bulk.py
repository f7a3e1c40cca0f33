"""Many lists at once take few statements, and a retried block says why."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graven import ConcurrentUpdate, Model, key, many_to_many


class Station(Model):
    name: str = key()
    visits: int = 0
    neighbours: list[Station] = many_to_many()


def ring(size: int) -> list[Station]:
    stations = [Station(name=f"{number:04}") for number in range(size)]
    for number, station in enumerate(stations):
        station.neighbours = [stations[number - 1], stations[(number + 1) % size]]
    return stations


def test_the_links_of_many_objects_go_in_few_statements(open_db: Callable[..., Any]) -> None:
    db = open_db(Station)
    statements: list[str] = []

    with db.session() as session:
        session.add(*ring(60))
        db.on_statement(lambda text, *_: statements.append(text))
    db.on_statement(None)

    assert len([text for text in statements if "station_neighbours" in text]) <= 3
    with db.session() as session:
        stations = session.query(Station).include(Station.neighbours).order_by(Station.name).all()
    names = [[other.name for other in station.neighbours] for station in stations]
    assert names[0] == ["0001", "0059"]
    assert names[1:3] == [["0000", "0002"], ["0001", "0003"]]
    assert [len(one) for one in names] == [2] * 60


def test_lists_that_lose_and_gain_members_in_one_commit_end_up_right(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Station)
    with db.session() as session:
        session.add(*ring(5))

    with db.session() as session:
        stations = session.query(Station).include(Station.neighbours).order_by(Station.name).all()
        for number, station in enumerate(stations):
            station.neighbours.remove(stations[number - 1])
            station.neighbours.append(station)

    with db.session() as session:
        stations = session.query(Station).include(Station.neighbours).order_by(Station.name).all()
    for number, station in enumerate(stations):
        assert {one.name for one in station.neighbours} == {
            station.name,
            stations[(number + 1) % 5].name,
        }


def test_an_attempt_knows_the_error_it_was_refused_with(open_db: Callable[..., Any]) -> None:
    db = open_db(Station)
    with db.session() as session:
        session.add(Station(name="a"))
    tries: list[Any] = []

    for attempt in db.attempts(isolation="optimistic"):
        tries.append(attempt)
        with attempt as session:
            station = session.get(Station, "a")
            if len(tries) == 1:
                with db.session() as other:
                    other.get(Station, "a").visits = 5
            station.visits += 1

    assert [type(one.error) for one in tries] == [ConcurrentUpdate, type(None)]
    with db.session() as session:
        assert session.get(Station, "a").visits == 6
