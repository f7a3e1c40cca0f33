"""``Model.restore``: the object of a key or a document, with all that it refers to."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any

import pytest

from graven import (
    AsyncDatabase,
    Database,
    DataError,
    Model,
    NotFoundError,
    UsageError,
    flatten_object,
    key,
)
from graven.testing.contract import SURVIVES, TRANSACTIONS, Colour, rows, update


class Hamlet(Model):
    id: int = key()
    name: str = ""


class Lodging(Model):
    id: int = key()
    name: str = ""
    town: Hamlet | None = None
    friend: Lodging | None = None


class Landlord(Lodging):
    rooms: int = 1


class Ticketed(Model):
    id: int = key(store_made=True)
    name: str = ""


def statements(db: Any) -> list[str]:
    """Return the list that every statement is put into from now on, but for beginnings and ends."""
    found: list[str] = []
    db.on_statement(lambda text, *_: text in ("begin", "rollback") or found.append(text))
    return found


@pytest.fixture
def db(open_db: Callable[..., Any]) -> Any:
    """Lodging 1 and host 2 are friends of one another, and guest 3 has no friend."""
    found = open_db(Hamlet, Lodging, Ticketed)
    with found.session() as session:
        ulm, bonn = Hamlet(id=1, name="Ulm"), Hamlet(id=2, name="Bonn")
        ada, bob = Lodging(id=1, name="Ada", town=ulm), Landlord(id=2, name="Bob", town=bonn)
        ada.friend, bob.friend = bob, ada
        session.add(ada, bob, Lodging(id=3, name="Cid", town=ulm))
    return found


def document(db: Any, number: int = 1) -> Any:
    with db.session() as session:
        return flatten_object(session.get(Lodging, number))


# -- keys ------------------------------------------------------------------------------------------


def test_a_key_restores_the_object_and_the_circle_it_is_in(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = colour.call(lambda: Lodging.restore(1))

        assert ada is session.get(Lodging, 1)
        assert (ada.town.name, ada.friend.name, ada.friend.town.name) == ("Ulm", "Bob", "Bonn")
        assert ada.friend.rooms == 1
        assert ada.friend.friend is ada
        assert session.explain() == "nothing to write"


def test_restoring_outside_of_any_session_is_done_in_one_of_its_own(db: Any) -> None:
    ada = db.objects(Lodging).restore(1)

    assert ada.friend.friend is ada
    assert ada.friend.town.name == "Bonn"


def test_each_class_and_level_is_one_query(open_db: Callable[..., Any]) -> None:
    db = open_db(Hamlet, Lodging)
    with db.session() as session:
        towns = [Hamlet(id=n, name=str(n)) for n in range(500)]
        friends = [Lodging(id=1000 + n, town=towns[n]) for n in range(500)]
        guests = [Lodging(id=n, town=towns[n], friend=friends[499 - n]) for n in range(500)]
        session.add(*guests)
    asked = statements(db)
    with db.session() as session:
        found = session.objects(Lodging).restore_all(range(500))

        assert len(asked) == 3  # the guests; the 1,000 that they refer to, over two classes
        assert found[0].friend.town is found[499].town
        assert {one.friend.id for one in found} == set(range(1000, 1500))


def test_what_the_session_has_is_used_and_not_asked_for(db: Any, colour: Colour) -> None:
    with db.session() as session:
        bob, bonn = session.get(Lodging, 2), session.get(Hamlet, 2)
        bob.name = "Rob"
        asked = statements(db)
        ada = colour.call(lambda: Lodging.restore(1))

        assert (ada.friend is bob, bob.town is bonn, bob.name) == (True, True, "Rob")
        assert len(asked) == 2  # Ada, and Ulm
        asked.clear()
        assert colour.call(lambda: Lodging.restore(1)) is ada
        assert colour.call(lambda: Lodging.restore(2)) is bob
        assert asked == []
        session.rollback()


def test_force_reads_the_object_anew(db: Any, colour: Colour) -> None:
    with db.session() as session:
        ada = colour.call(lambda: Lodging.restore(1))
        ada.name = "Eda"
        update(db, Lodging, 1, name="Ida", version=2)

        assert colour.call(lambda: Lodging.restore(1)).name == "Eda"
        assert colour.call(lambda: Lodging.restore(1, force=True)) is ada
        assert (ada.name, session.explain()) == ("Ida", "nothing to write")


def test_levels_max_says_how_far_references_are_followed(db: Any, colour: Colour) -> None:
    with db.session():
        asked = statements(db)
        ada = colour.call(lambda: Lodging.restore(1, levels_max=1))

        assert len(asked) == 3
        assert (ada.town.name, ada.friend.name, ada.friend.town_id) == ("Ulm", "Bob", 2)


def test_a_key_that_is_not_there_is_refused(db: Any, colour: Colour) -> None:
    with db.session() as session:
        with pytest.raises(NotFoundError, match="cannot restore Lodging 9"):
            colour.call(lambda: Lodging.restore(9))
        with pytest.raises(NotFoundError, match="cannot restore Landlord 1"):
            colour.call(lambda: Landlord.restore(1))
        with pytest.raises(DataError, match="expected is int"):
            colour.call(lambda: Lodging.restore("1"))
        session.delete(session.get(Lodging, 3))
        with pytest.raises(NotFoundError, match="cannot restore Lodging 3"):
            colour.call(lambda: Lodging.restore(3))

        assert colour.call(lambda: Lodging.restore(1)).name == "Ada"
        session.rollback()


def test_an_id_as_mongodb_has_it_is_a_key(db: Any, colour: Colour) -> None:
    with db.session():
        assert colour.call(lambda: Lodging.restore({"_id": 3, "name": "?"})).name == "Cid"


# -- documents -------------------------------------------------------------------------------------


def test_a_document_as_it_is_stored_changes_nothing(db: Any, colour: Colour) -> None:
    state = document(db)
    with db.session() as session:
        ada = colour.call(lambda: Lodging.restore(state))

        assert (ada is session.get(Lodging, 1), ada.friend.friend is ada) == (True, True)
        assert session.explain() == "nothing to write"


def test_what_differs_from_the_store_is_a_change(db: Any, colour: Colour) -> None:
    state = {**document(db), "name": "Eda", "town": {"__model__": "Hamlet", "__key__": 2}}
    with db.session() as session:
        ada = colour.call(lambda: Lodging.restore(state))

        assert list(session.dirty) == [ada]
    assert rows(db, Lodging, "name", "town_id", id=1) == [("Eda", 2)]


def test_an_object_that_the_session_has_is_used_unless_forced(db: Any, colour: Colour) -> None:
    state = {**document(db), "name": "Eda"}
    with db.session() as session:
        ada = session.get(Lodging, 1)
        ada.name = "Mine"

        assert colour.call(lambda: Lodging.restore(state)) is ada
        assert (ada.name, ada.friend.name) == ("Mine", "Bob")
        assert colour.call(lambda: Lodging.restore(state, force=True)) is ada
        assert ada.name == "Eda"
        session.rollback()
        assert ada.name == "Ada"


def test_a_document_of_what_is_not_stored_is_a_new_object(db: Any, colour: Colour) -> None:
    ghost = {**flatten_object(Lodging(id=7, name="Gus")), "town": document(db)["town"]}
    unnumbered = flatten_object(Ticketed(name="Mo"))
    with db.session() as session:
        gus = colour.call(lambda: Lodging.restore(ghost))
        mo = colour.call(lambda: Ticketed.restore(unnumbered))

        assert set(session.new) == {gus, mo}
        assert gus.town.name == "Ulm"
    assert rows(db, Lodging, "name", "town_id", id=7) == [("Gus", 1)]
    assert [name for (name,) in rows(db, Ticketed, "name")] == ["Mo"]


def test_restoring_a_document_outside_of_any_session_writes_nothing(
    db: Any, colour: Colour
) -> None:
    state = {**document(db), "name": "Eda"}
    ada = db.objects(Lodging).restore(state)

    assert rows(db, Lodging, "name", id=1) == [("Ada",)]
    colour.call(ada.save)
    assert rows(db, Lodging, "name", id=1) == [("Eda",)]


def test_many_documents_are_restored_together(db: Any) -> None:
    states = [document(db, 1), {**document(db, 3), "friend": document(db, 1)["friend"]}, 2]
    with db.session() as session:
        asked = statements(db)
        ada, cid, bob = session.objects(Lodging).restore_all(states)

        assert (ada.friend, cid.friend, bob.friend) == (bob, bob, ada)
        assert len(asked) == 2  # the guests, and their towns
        session.rollback()


BAD = {
    "an unknown class": ({"__model__": "Nobody", "id": 1}, "type 'Nobody', and no type of that"),
    "another class": (
        {"__model__": "Hamlet", "id": 1},
        "a Lodging: the document is that of a Hamlet",
    ),
    "a base": (
        {"__model__": "Lodging", "id": 2, "name": "x"},
        "a Landlord: the document is that of a Lodging",
    ),
    "no class": ({"name": "x"}, "expected a key or the document of an object"),
    "a wrong type": ({"__model__": "Lodging", "id": 1, "name": 5}, "Lodging.name: found 5 .int."),
    "a wrong key": ({"__model__": "Lodging", "id": "one"}, "Lodging.id: found 'one'"),
    "a wrong reference": (
        {"__model__": "Lodging", "id": 1, "town": {"__model__": "Lodging", "__key__": 1}},
        "Lodging.town",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_document_is_refused_and_changes_nothing(db: Any, colour: Colour, name: str) -> None:
    state, words = BAD[name]
    with db.session() as session:
        held = [session.get(Lodging, n) for n in (1, 2)]
        with pytest.raises(DataError, match=words):
            colour.call(lambda: Lodging.restore(state, force=True))

        assert session.explain() == "nothing to write"
        assert [one.name for one in held] == ["Ada", "Bob"]
        assert colour.call(lambda: Lodging.restore(1)).town.name == "Ulm"


def test_an_error_in_a_document_takes_back_what_was_set_before_it(db: Any, colour: Colour) -> None:
    state = {**document(db), "name": "Eda", "friend": "nobody"}
    with db.session() as session:
        ada = session.get(Lodging, 1)
        with pytest.raises(DataError, match=r"Lodging\.friend"):
            colour.call(lambda: Lodging.restore(state, force=True))

        assert (ada.name, session.explain()) == ("Ada", "nothing to write")


def test_a_reference_that_leads_nowhere_names_who_refers_to_what(db: Any, colour: Colour) -> None:
    state = {**document(db, 3), "friend": {"__model__": "Lodging", "__key__": 99}}
    with db.session() as session:
        with pytest.raises(
            NotFoundError, match="friend of a Lodging refers to Lodging 99"
        ) as caught:
            colour.call(lambda: Lodging.restore(state))

        assert (caught.value.model, caught.value.key) == ("Lodging", 99)
        assert session.explain() == "nothing to write"


def test_a_stored_reference_to_what_is_to_be_deleted_names_who_refers(
    db: Any, colour: Colour
) -> None:
    with db.session() as session:
        session.delete(session.get(Lodging, 2))
        with pytest.raises(NotFoundError, match="friend of Lodging 1 refers to Lodging 2"):
            colour.call(lambda: Lodging.restore(1))
        session.rollback()

        assert colour.call(lambda: Lodging.restore(1)).friend.name == "Bob"


# -- many at once ----------------------------------------------------------------------------------


def fill(db: Database) -> None:
    db.create(Hamlet, Lodging)
    with db.session() as session:
        ulm = Hamlet(id=1, name="Ulm")
        ada, bob = Lodging(id=1, name="Ada", town=ulm), Landlord(id=2, name="Bob", town=ulm)
        ada.friend, bob.friend = bob, ada
        session.add(ada, bob)


def test_threads_that_restore_one_key_get_one_object_with_one_query(url: str) -> None:
    with Database(url) as db:
        fill(db)
        asked, found, together = statements(db), [], Barrier(8)
        with db.session() as session:

            def work() -> None:
                together.wait()
                found.append(session.objects(Lodging).restore(1))

            threads = [Thread(target=work) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(timeout=30)
        assert len(found) == 8
        assert len(set(map(id, found))) == 1
        assert len(asked) == 3  # Ada; Bob, and Ulm


@pytest.mark.asyncio
async def test_tasks_that_restore_one_key_get_one_object_with_one_query(url: str) -> None:
    with Database(url) as blocking:
        blocking.create(Hamlet, Lodging)
        async with AsyncDatabase(url) as db:
            async with db.session():
                ulm = Hamlet(id=1, name="Ulm")
                await Lodging(id=1, name="Ada", town=ulm).save()
            asked = statements(db)
            async with db.session():
                found = await asyncio.gather(*(Lodging.restore(1) for _ in range(20)))
                assert len(set(map(id, found))) == 1
                assert found[0].town.name == "Ulm"
            assert len(asked) == 2


def test_a_graph_is_kept_whole_while_the_collector_runs(db: Any, colour: Colour) -> None:
    with db.session():
        ada = colour.call(lambda: Lodging.restore(1))
        gc.collect()

        assert ada.friend.friend is ada


RESTORER = """
import json, sys
from graven import Database, Model, key

class Hamlet(Model):
    id: int = key()
    name: str = ""

class Lodging(Model):
    id: int = key()
    name: str = ""
    town: Hamlet | None = None
    friend: "Lodging | None" = None

class Landlord(Lodging):
    rooms: int = 1

with Database(sys.argv[1]) as db:
    sys.stdin.readline()
    for attempt in db.attempts(limit=100):
        with attempt as session:
            ada = Lodging.restore(1)
            assert ada.friend.friend is ada
            ada.name, ada.friend.name = ada.name + "!", ada.friend.name + "!"
    print(json.dumps([type(ada.friend).__name__, ada.friend.town.name]))
"""


@pytest.mark.needs(SURVIVES, TRANSACTIONS)
def test_two_processes_restore_a_circle_at_once(url: str) -> None:
    with Database(url) as db:
        fill(db)
        command = [sys.executable, "-c", RESTORER, url]
        both = [
            subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        said = [one.communicate("go\n", timeout=60)[0] for one in both]

        assert [json.loads(text)[1] for text in said] == ["Ulm", "Ulm"]
        assert rows(db, Lodging, "name", order="id") == [("Ada!!",), ("Bob!!",)]


def test_restoring_needs_an_open_session(db: Any) -> None:
    with db.session() as session:
        objects = session.objects(Lodging)

    with pytest.raises(UsageError, match="the session has ended"):
        objects.restore(1)
