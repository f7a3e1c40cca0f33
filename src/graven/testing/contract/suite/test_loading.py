"""What is loaded when, in how many statements, and what happens where nothing may be loaded."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from threading import Thread
from typing import Any
from weakref import ref

import pytest

from graven import Model, desc, key, many_to_many, owned
from graven.errors import (
    ConcurrentUpdate,
    DataError,
    NotFoundError,
    NotLoadedError,
    QueryError,
)
from graven.testing.contract import (
    BULK,
    RAW_SQL,
    TRANSACTIONS,
    Backend,
    count,
    delete,
    insert,
    rows,
)


class City(Model):
    id: int = key()
    name: str = ""


class Person(Model):
    id: int = key()
    name: str = ""
    city: City | None = None
    letters: list[Letter] = owned("writer")


class Letter(Model):
    id: int = key()
    text: str = ""
    writer: Person | None = None
    reader: Person | None = None
    stamps: list[Stamp] = many_to_many()


class Unchecked(Model, table="letter"):
    """Makes the table of letters without references that the store would check."""

    id: int = key()
    text: str = ""
    writer_id: int | None = None
    reader_id: int | None = None


class Stamp(Model):
    id: int = key()
    name: str = ""


class Asset(Model):
    id: int = key()
    name: str = ""
    owner: Person | None = None


class House(Asset):
    rooms: int = 0
    town: City | None = None


class Tower(House):
    height: int = 0


TABLES = {"letter", "person", "city", "letter_stamps", "stamp"}


def table_of(statement: str) -> str:
    """Return the table that a statement reads."""
    if " from " not in statement:
        return statement.split()[-1]
    return statement.split(" from ")[1].split()[0].strip('`"')


class Spy:
    """Collects the statements that a database sends."""

    def __init__(self, db: Any) -> None:
        self.texts: list[str] = []
        db.on_statement(lambda text, *_: self.texts.append(text))

    def take(self) -> list[str]:
        found = [text for text in self.texts if text not in ("begin", "rollback")]
        self.texts.clear()
        return found


@pytest.fixture
def db(open_db: Callable[..., Any]) -> Any:
    """Person *n* lives in city *n* mod 3, letter *n* goes from person *n* mod 5 to the next."""
    db = open_db(Letter, City, Person, Stamp, Asset)
    with db.session() as session:
        cities = [City(id=n, name=f"city {n}") for n in range(3)]
        people = [Person(id=n, name=f"person {n}", city=cities[n % 3]) for n in range(5)]
        stamps = [Stamp(id=n) for n in range(3)]
        session.add(*cities, *people, *stamps)
        for n in range(20):
            reader = people[(n + 1) % 5]
            letter = Letter(id=n, writer=people[n % 5], reader=reader, stamps=stamps[: n % 3])
            session.add(letter)
        session.add(Asset(id=1, owner=people[0]), House(id=2, rooms=5, town=cities[1]))
        session.add(Tower(id=3, rooms=1, height=90, town=cities[2]))
    return db


def test_reading_never_writes_whatever_is_pending(db: Any) -> None:
    with db.session() as session:
        letters = session.query(Letter).include(Letter.writer.city, Letter.stamps).all()
        letters[0].text = "new"
        letters[1].writer = Person(id=99, name="new")
        letters[2].stamps.append(Stamp(id=9))
        session.delete(letters[3])
        session.add(Letter(id=50))
        spy = Spy(db)
        query = session.query(Letter).where(Letter.writer.name != "x").order_by(desc(Letter.text))
        query.all()
        query.first()
        query.limit(1).one()
        query.count()
        query.exists()
        query.get(4)
        list(query.stream())
        query.include(Letter.reader.letters).all()
        session.get(Person, 3)
        session.get(Person, 333)
        session.load(session.get(Person, 3), Person.letters)
        session.plan()
        session.explain()
        sent = spy.take()
        assert len(sent) > 10
        assert {text.split()[0] for text in sent} <= {"select", "find", "aggregate"}
        assert len(session.new) == 3
        session.rollback()
    assert count(db, Letter) == 20


def test_references_are_included_by_one_statement_for_each_level(db: Any) -> None:
    spy = Spy(db)
    with db.session() as session:
        letters = session.query(Letter).include(Letter.writer.city).all()
        assert len(spy.take()) == 3
        assert [one.writer.city.id for one in letters] == [n % 5 % 3 for n in range(20)]
        assert spy.take() == []


def test_a_thousand_references_over_two_classes_are_two_statements(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Letter)
    with db.session() as session:
        cities = [City(id=n) for n in range(500)]
        people = [Person(id=n, city=cities[n]) for n in range(500)]
        session.add(*people)
        session.add(*(Letter(id=n, writer=people[n % 500]) for n in range(1000)))
    spy = Spy(db)
    with db.session() as session:
        found = session.query(Letter).include(Letter.writer.city).all()
        statements = spy.take()
        assert list(dict.fromkeys(map(table_of, statements))) == ["letter", "person", "city"]
        assert len(statements) == 3
        assert [one.writer.city.id for one in found] == [n % 500 for n in range(1000)]


def test_lists_and_links_are_included_together(db: Any) -> None:
    spy = Spy(db)
    with db.session() as session:
        people = session.query(Person).include(Person.letters.stamps, Person.city).all()
        assert len(spy.take()) == 5  # people, letters, pairs, stamps, cities
        assert [[one.id for one in person.letters] for person in people] == [
            [n, n + 5, n + 10, n + 15] for n in range(5)
        ]
        assert [len(one.stamps) for one in people[2].letters] == [2, 1, 0, 2]
        assert people[1].letters[0].writer is people[1]
        assert spy.take() == []


def test_an_unloaded_reference_is_loaded_for_its_whole_result_or_refused(
    db: Any, colour: Any
) -> None:
    with db.session() as session:
        letters = session.query(Letter).order_by(Letter.id).all()
        spy = Spy(db)
        if colour.name == "async":
            with pytest.raises(NotLoadedError, match=r"include\(Letter\.writer\)") as caught:
                _ = letters[0].writer
            error = caught.value
            assert (error.model, error.key, error.field) == ("Letter", 0, "writer")
            assert spy.take() == []
        else:
            assert letters[0].writer.name == "person 0"
            assert len(spy.take()) == 1
            assert [one.writer.id for one in letters] == [n % 5 for n in range(20)]
            assert letters[3].reader.city.name == "city 1"
            assert len(spy.take()) == 1  # all readers are known already as writers
            assert {one.reader.city.id for one in letters} == {0, 1, 2}
            assert len(letters[0].stamps) == 0
            assert len(spy.take()) == 2
            assert [len(one.stamps) for one in letters] == [n % 3 for n in range(20)]
            assert spy.take() == []


def test_a_reference_to_an_object_of_the_session_needs_no_statement(db: Any) -> None:
    with db.session() as session:
        person = session.get(Person, 0)
        letter = session.get(Letter, 0)
        spy = Spy(db)
        assert letter.writer is person
        assert spy.take() == []


def test_load_brings_what_is_missing_and_nothing_else(db: Any) -> None:
    with db.session() as session:
        letter = session.get(Letter, 2)
        spy = Spy(db)
        session.load(letter, Letter.writer, Letter.stamps)
        assert len(spy.take()) == 3
        assert letter.writer.name == "person 2"
        assert len(letter.stamps) == 2
        session.load(letter, Letter.writer.city)
        assert len(spy.take()) == 1
        assert letter.writer.city.name == "city 2"
        for wrong in (Letter.text, "writer", Person.city):
            with pytest.raises(QueryError, match="cannot load"):
                session.load(letter, wrong)


def test_what_is_loaded_stays_readable_after_the_session_and_the_rest_is_refused(db: Any) -> None:
    with db.session() as session:
        letter = session.query(Letter).where(Letter.id == 2).include(Letter.writer).one()
    assert letter.writer.name == "person 2"
    with pytest.raises(NotLoadedError, match=r"Letter\.reader.*session has ended"):
        _ = letter.reader
    with pytest.raises(NotLoadedError, match=r"Letter\.stamps"):
        _ = letter.stamps
    assert "reader_id=3" in repr(letter)


def test_includes_reach_pending_objects_too(db: Any) -> None:
    with db.session() as session:
        person, letter = session.get(Person, 4), session.get(Letter, 2)
        letter.reader = person
        session.add(Letter(id=60, writer=person, reader=person))
        found = session.query(Letter).include(Letter.reader.city, Letter.writer).all()
        assert [one.reader.city.id for one in found if one.id in (2, 60)] == [1, 1]
        assert [one.writer.id for one in found if one.id in (2, 60)] == [2, 4]
        session.rollback()


def test_a_reference_that_leads_nowhere_is_named_and_the_others_are_loaded(
    open_db: Callable[..., Any], colour: Any
) -> None:
    db = open_db(Unchecked)
    db.create(Letter)
    with db.session() as session:
        session.add(*(Letter(id=n, writer=Person(id=n)) for n in range(3)))
    delete(db, Person, 1)
    with db.session() as session:
        letters = session.query(Letter).include(Letter.writer).all()
        assert [letters[0].writer.id, letters[2].writer.id] == [0, 2]
        expected: Any = NotLoadedError if colour.name == "async" else NotFoundError
        with pytest.raises(expected, match=r"Letter\.writer of Letter 1") as caught:
            _ = letters[1].writer
        assert caught.value.model in ("Letter", "Person")
        found = session.query(Letter).where(Letter.writer.name == None)  # noqa: E711
        assert [one.id for one in found.all()] == [1]


def test_a_reference_to_a_deleted_object_still_reads_it(db: Any) -> None:
    with db.session() as session:
        person = session.get(Person, 2)
        session.delete(person)
        letter = session.query(Letter).where(Letter.id == 2).include(Letter.writer).first()
        assert letter is None
        session.add(person)
        letter = session.get(Letter, 2)
        session.delete(person)
        session.load(letter, Letter.writer)
        assert letter.writer is person
        session.rollback()


# -- subclasses ------------------------------------------------------------------------------------


def test_a_query_of_a_subclass_finds_only_its_objects(db: Any) -> None:
    with db.session() as session:
        kinds = {one.id: type(one).__name__ for one in session.query(Asset).all()}
        assert kinds == {1: "Asset", 2: "House", 3: "Tower"}
        assert [one.id for one in session.query(House).all()] == [2, 3]
        assert [one.id for one in session.query(Tower).all()] == [3]
        assert session.query(House).count() == 2
        assert session.query(House).limit(1).offset(1).one().id == 3
        assert session.query(Asset).where(House.rooms > 1).one().id == 2
        assert [one.id for one in session.query(House).stream()] == [2, 3]
        assert session.get(House, 1) is None
        session.add(Tower(id=4), Asset(id=5))
        assert [one.id for one in session.query(Tower).all()] == [3, 4]
        assert session.query(House).count() == 3
        session.rollback()


def test_fields_of_a_subclass_are_included_where_they_are(db: Any) -> None:
    with db.session() as session:
        found = session.query(Asset).include(House.town, Asset.owner).all()
        assert [one.town.id for one in found if isinstance(one, House)] == [1, 2]
        assert found[0].owner.id == 0


# -- identity --------------------------------------------------------------------------------------


def test_there_is_one_object_for_each_key_however_it_is_reached(db: Any) -> None:
    with db.session() as session:
        person = session.get(Person, 1)
        assert session.get(Person, 1) is person
        assert session.query(Person).where(Person.id == 1).one() is person
        letters = session.query(Letter).include(Letter.writer, Letter.reader).all()
        assert letters[1].writer is person
        assert letters[0].reader is person


def test_the_first_read_wins_though_others_have_written_since(db: Any) -> None:
    with db.session() as session:
        person = session.get(Person, 1)
        with db.session() as other:
            other.get(Person, 1).name = "changed"
        assert session.query(Person).where(Person.name == "changed").one() is person
        assert person.name == "person 1"


def test_clean_objects_are_let_go_and_changed_ones_are_kept(db: Any) -> None:
    with db.session() as session:
        clean, changed = session.get(Person, 1), session.get(Person, 2)
        changed.name = "changed"
        watch = ref(clean), ref(changed)
        del clean, changed
        gc.collect()
        assert watch[0]() is None
        assert watch[1]() is not None
        del watch
    assert rows(db, Person, "name", id=2) == [("changed",)]


def test_an_object_dropped_and_loaded_again_keeps_the_version_first_read(db: Any) -> None:
    with db.session() as session:
        total = len(session.get(Person, 1).name)
        gc.collect()
        with db.session() as other:
            other.get(Person, 1).name = "somebody else's"
        again = session.query(Person).where(Person.id == 1).one()
        again.name = f"computed from {total}"
        with pytest.raises(ConcurrentUpdate):
            session.commit()
        session.rollback()
    assert rows(db, Person, "name", id=1) == [("somebody else's",)]


def test_many_gets_of_one_key_at_once_are_one_statement(db: Any, colour: Any) -> None:
    spy = Spy(db)
    with db.session() as session:
        found: list[Any] = []
        if colour.name == "async":
            plain = session._target

            async def gather() -> list[Any]:
                return list(await asyncio.gather(*(plain.get(Person, 1) for _ in range(20))))

            found = colour.call(gather)
        else:
            threads = [
                Thread(target=lambda: found.append(session.get(Person, 1))) for _ in range(20)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert len(spy.take()) == 1
        assert len(found) == 20
        assert all(one is found[0] for one in found)
        assert found[0].name == "person 1"


def test_a_deleted_object_is_not_found_and_not_made_again(db: Any) -> None:
    with db.session() as session:
        letter = session.get(Letter, 1)
        session.delete(letter)
        assert session.get(Letter, 1) is None
        assert not session.has_key(Letter, 1)
        assert 1 not in [one.id for one in session.query(Letter).all()]
        people = session.query(Person).include(Person.letters).all()
        assert [one.id for one in people[1].letters] == [6, 11, 16]
        session.add(letter)
        assert session.get(Letter, 1) is letter


def test_a_key_of_another_type_is_refused_and_the_session_goes_on(db: Any) -> None:
    with db.session() as session:
        for wrong in ("1", None, 1.5, (1, 2), True):
            with pytest.raises(DataError, match=r"cannot look for Person.*int"):
                session.get(Person, wrong)
            with pytest.raises(DataError, match="cannot look for Person"):
                session.query(Person).get(wrong)
        assert session.get(Person, 1).name == "person 1"


# -- statements of one's own -----------------------------------------------------------------------


@pytest.mark.needs(RAW_SQL)
def test_a_statement_of_ones_own_reads_without_writing_and_finds_what_is_there(db: Any) -> None:
    with db.session() as session:
        person, letter = session.get(Person, 1), session.get(Letter, 1)
        person.name = "new"
        session.delete(letter)
        spy = Spy(db)
        statement = "select * from person where id = 1"
        assert session.query(Person).from_sql(statement).one() is person
        statement = "select * from letter where id in (1, 2)"
        assert [one.id for one in session.query(Letter).from_sql(statement).all()] == [2]
        assert {text.split()[0] for text in spy.take()} == {"select"}
        session.rollback()


@pytest.mark.needs(RAW_SQL)
def test_rows_of_a_statement_become_tracked_objects(db: Any, backend: Backend) -> None:
    this, called = backend.parameter(), backend.parameter("called")
    with db.session() as session:
        statement = f"select version, name, * from person where id > {this} order by id desc"
        found = session.query(Person).from_sql(statement, (2,)).include(Person.city).all()
        assert [(one.id, one.city.id) for one in found] == [(4, 1), (3, 0)]
        found[0].name = "changed"
        statement = f"select * from person where id = {called}"
        named = session.query(Person).from_sql(statement, {"called": 4})
        assert named.one() is found[0]
        assert named.count() == 1
        assert named.limit(0).all() == []
        assert session.query(House).from_sql("select * from asset").first().rooms == 5
        session.commit()
        name = session.execute(f"select name from person where id = {this}", (4,))
        assert name == [("changed",)]
    statement = f"select count(*) from person where name = {called}"
    assert db.execute(statement, {"called": "changed"}) == [(1,)]


@pytest.mark.needs(RAW_SQL)
def test_a_statement_that_lacks_columns_or_is_joined_with_conditions_is_refused(db: Any) -> None:
    with db.session() as session:
        lacking = session.query(Person).from_sql("select id, name from person")
        with pytest.raises(QueryError, match=r"lack city_id, version.*select \* from person"):
            lacking.all()
        raw = session.query(Person).from_sql("select * from person")
        for query in (raw.where(Person.id == 1), raw.order_by(Person.name)):
            with pytest.raises(QueryError, match="by a statement and by where or order_by"):
                query.all()
        with pytest.raises(NotFoundError):
            session.query(Person).from_sql("select * from person where id = 99").one()
        assert raw.count() == 5


# -- streams ---------------------------------------------------------------------------------------


@pytest.mark.needs(BULK)
def test_a_stream_yields_everything_in_order_in_pages_from_one_point(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(City)
    with db.session() as session:
        session.add(*(City(id=n, name=str(n % 7)) for n in range(2500)))
    with db.session() as session:
        query = session.query(City).order_by(City.name, desc(City.id))
        expected = sorted(range(2500), key=lambda n: (str(n % 7), -n))
        stream = query.stream()
        found = [next(stream).id]
        with db.session() as other:
            other.delete(other.get(City, 2499))
        found += [one.id for one in stream]
        assert found == expected
        assert query.count() == 2499
        assert [one.id for one in query.limit(1200).offset(3).stream()] == [
            one.id for one in query.limit(1200).offset(3).all()
        ]


def test_a_stream_includes_what_is_asked(db: Any) -> None:
    with db.session() as session:
        spy = Spy(db)
        found = list(session.query(Letter).include(Letter.writer.city, Letter.stamps).stream())
        assert [one.writer.city.id for one in found] == [n % 5 % 3 for n in range(20)]
        assert [len(one.stamps) for one in found] == [n % 3 for n in range(20)]
        read = [table_of(text) for text in spy.take() if not text.startswith("getMore")]
        assert sorted(name for name in read if name in TABLES) == sorted(TABLES)


def test_a_stream_that_is_left_early_gives_its_connection_back(
    open_db: Callable[..., Any], colour: Any
) -> None:
    db = open_db(City, pool_size=1, pool_timeout_s=0.2)
    with db.session() as session:
        session.add(*(City(id=n) for n in range(10)))
    with db.session() as session:
        for _ in range(3):
            stream = session.query(City).stream()
            assert next(stream).id == 0
            stream.aclose() if colour.name == "async" else stream.close()
            assert session.query(City).count() == 10


@pytest.mark.needs(TRANSACTIONS)
def test_a_stream_sees_pending_changes_and_the_open_transaction(db: Any) -> None:
    with db.session() as session:
        session.get(City, 0).name = "zero"
        session.delete(session.get(Asset, 3))
        session.add(City(id=9, name="new"))
        query = session.query(City).where(City.name.__ne__("city 1"))
        assert [one.id for one in query.stream()] == [0, 2, 9]
        session.flush()
        insert(session, City, id=10, name="raw")
        assert [one.id for one in query.stream()] == [0, 2, 9, 10]
        session.rollback()
        assert [one.id for one in query.stream()] == [0, 2]
