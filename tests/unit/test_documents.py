"""The document codec: what is written comes back, in type and in shape."""

from __future__ import annotations

import dataclasses
import enum
import gc
import json
import sys
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import msgspec
import pytest

import graven
from graven import (
    DataError,
    MappingError,
    Model,
    ModelSerializer,
    NotFoundError,
    document_type,
    field,
    flatten_object,
    from_json,
    get_object_state,
    get_or_create,
    key,
    owned,
    to_json,
    unflatten_object,
)
from graven.core.values import same


class Ink(enum.Enum):
    RED = "r"
    BLUE = "b"


class Rights(enum.Flag):
    READ = 1
    WRITE = 2


@dataclasses.dataclass
class Postmark:
    at: datetime
    ink: Ink = Ink.RED


@document_type
@dataclasses.dataclass(eq=False)
class Knot:
    name: str
    next: Knot | None = None
    others: list[Knot] = dataclasses.field(default_factory=list)
    extra: Any = None


@document_type
@dataclasses.dataclass(frozen=True)
class Coin:
    worth: int
    sides: frozenset[str] = frozenset()


@document_type
@dataclasses.dataclass(slots=True)
class Slotted:
    number: int


class Grid(msgspec.Struct):
    width: int
    cells: list[int] = []


class Scribe(Model):
    name: str
    pupils: list[Missive] = owned("writer")


class Missive(Model):
    writer: Scribe
    answer_to: Missive | None = None
    text: str = ""
    weight: float = 0.0
    stamps: list[Postmark] = field(default_factory=list)
    grid: Grid | None = None
    about: Any = None


class Bookcase(Model):
    row: int = key()
    place: int = key()


class Box(Model):
    number: int = key(store_made=True)
    inner: Box | None = None
    shelf: Bookcase | None = None


def through_json(*values: Any) -> list[Any]:
    return from_json(to_json(*values))


def through_document(*values: Any) -> list[Any]:
    return unflatten_object(json.loads(json.dumps(flatten_object(list(values)))))  # type: ignore[no-any-return]


BOTH_WAYS = pytest.mark.parametrize("through", [through_json, through_document])

VALUES = [
    None,
    True,
    0,
    -(2**63),
    2**63 - 1,
    2**63,
    -(10**6000),
    1.0,
    -0.0,
    float("inf"),
    float("-inf"),
    float("nan"),
    "",
    "☃ nul \0 inside",
    b"",
    bytes(range(256)),
    Decimal("1.10"),
    Decimal("-0E+3"),
    Decimal("NaN"),
    UUID(int=2**127),
    date(1, 1, 1),
    time(23, 59, 59, 999_999),
    time(1, tzinfo=timezone(timedelta(hours=-3, minutes=-30))),
    datetime(2024, 5, 1, 12),
    datetime(2024, 5, 1, 12, tzinfo=UTC),
    datetime(2024, 5, 1, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=2, seconds=7))),
    timedelta(days=-1, microseconds=3),
    timedelta.max,
    timedelta.min,
    [],
    [1, [2, []]],
    (),
    ((1, "a"), ()),
    {1, 2},
    set(),
    {frozenset({1}), frozenset()},
    {},
    {"a": 1, "b": {"c": []}},
    {1: 2, None: 3, (1, 2): 4},
    {"": 1, "__model__": 2, "a.b": 3, "$where": 4, "nul\0": 5, "__ref__": 0},
    Postmark(datetime(2024, 1, 1, tzinfo=UTC), Ink.BLUE),
    Rights.READ | Rights.WRITE,
    Coin(2, frozenset({"head", "tail"})),
    {Coin(1), Coin(2)},
    {Coin(1): "one"},
    Slotted(3),
    Grid(2, [1, 2]),
]


@pytest.fixture(autouse=True)
def _known() -> None:
    """Let the registry know what the annotations of the models here name."""
    flatten_object(Missive(writer=Scribe(name="x")))


@BOTH_WAYS
@pytest.mark.parametrize("value", VALUES, ids=range(len(VALUES)))
def test_a_value_comes_back_with_its_exact_type(through: Any, value: Any) -> None:
    document_type(Rights)

    (found,) = through(value)

    assert same(found, value) or repr(found) == repr(value)
    assert type(found) is type(value)


def test_the_offset_and_the_fold_of_a_datetime_are_kept() -> None:
    offset = timezone(timedelta(hours=5, minutes=45))
    moment = datetime(2024, 10, 27, 2, 30, tzinfo=offset, fold=1)

    (found, clock) = through_json(moment, time(2, 30, fold=1))

    assert (found, found.utcoffset(), found.fold) == (moment, offset.utcoffset(None), 1)
    assert clock.fold == 1


@BOTH_WAYS
def test_what_is_shared_stays_shared(through: Any) -> None:
    inner, point = [1], Knot("k")
    shared: dict[str, Any] = {"n": 1}
    value = [inner, inner, point, point, shared, {"again": shared}, (inner,), {1: inner}]

    (found,) = through(value)

    assert found[0] is found[1] is found[6][0] is found[7][1]
    assert found[2] is found[3]
    assert found[4] is found[5]["again"]
    assert found[0] == [1]


@BOTH_WAYS
def test_an_empty_shared_container_is_not_taken_for_a_reference(through: Any) -> None:
    empty: dict[str, Any] = {}
    none: list[Any] = []

    (found,) = through([empty, empty, none, none])

    assert found == [{}, {}, [], []]
    assert found[0] is found[1]
    assert found[2] is found[3]


@BOTH_WAYS
def test_cycles_through_every_kind_of_container_come_back(through: Any) -> None:
    knot = Knot("a")
    knot.next = knot
    knot.others.append(Knot("b", next=knot))
    loop: list[Any] = []
    loop.append(loop)
    table: dict[str, Any] = {}
    table["self"] = table
    pair: tuple[list[Any]] = ([],)
    pair[0].append(pair)
    crowd: set[Any] = set()
    crowd.add(Knot("in", extra=crowd))

    found, looped, tabled, paired, crowded = through(knot, loop, table, pair, crowd)

    assert found.next is found
    assert found.others[0].next is found
    assert looped[0] is looped
    assert tabled["self"] is tabled
    assert paired[0][0] is paired
    (member,) = crowded
    assert member.extra is crowded


def test_the_same_tuple_doubled_a_hundred_times_takes_no_room() -> None:
    value: Any = ([],)
    for _ in range(100):
        value = (value, value)

    text = to_json(value)
    (found,) = from_json(text)

    assert len(text) < 10_000
    assert found[0] is found[1]


def test_a_hundred_thousand_nested_nodes_need_no_recursion() -> None:
    count = 100_000
    chain: Knot | None = None
    deep: list[Any] = []
    tower: Any = ()
    for number in range(count):
        chain = Knot(str(number), chain)
        deep, tower = [deep], (tower, number)
    text = to_json(chain, deep, tower)

    again, nested, built = from_json(text)

    length = 0
    while again is not None:
        length, again = length + 1, again.next
    assert length == count
    for number in reversed(range(count)):
        nested = nested[0]
        built, found = built
        assert found == number
    assert (nested, built) == ([], ())


def test_nothing_shared_makes_a_plain_document() -> None:
    document = flatten_object(Knot("a", Knot("b"), extra={"n": (1, Ink.RED)}))

    assert document == {
        "__model__": "Knot",
        "name": "a",
        "next": {"__model__": "Knot", "name": "b", "next": None, "others": [], "extra": None},
        "others": [],
        "extra": {"n": {"__tuple__": [1, {"__enum__": ["Ink", "RED"]}]}},
    }


def test_equal_sets_are_written_equally() -> None:
    forth, back = set(range(0, 5000, 97)), set()
    for number in reversed(range(0, 5000, 97)):
        back.add(str(number))

    assert to_json({str(number) for number in forth}) == to_json(back)
    assert flatten_object({"b", "a", "c"}) == {"__set__": ["a", "b", "c"]}


GOLDEN = """\
{"graven":1,"roots":[{"__ref__":0},{"__ref__":2},{"__tuple__":[1,{"__int__":"0x8000000000000000"},\
{"__float__":"nan"}]}],"nodes":[{"__model__":"Knot","name":"a","next":{"__ref__":1},"others":[\
{"__ref__":0}],"extra":{"__ref__":2}},{"__model__":"Knot","name":"b","next":null,"others":[],\
"extra":{"__dict__":[["$set",{"__set__":[1,2]}],[{"__uuid__":\
"00000000-0000-0000-0000-000000000001"},{"__decimal__":"1.10"}]]}},{"b":{"__bytes__":"eA=="},\
"t":{"__datetime__":"2024-05-01T12:00:00+02:00"}}]}"""


def test_the_form_of_texts_is_what_it_was_when_they_were_written() -> None:
    moment = datetime(2024, 5, 1, 12, tzinfo=timezone(timedelta(hours=2)))
    shared = {"b": b"x", "t": moment}
    knot = Knot("a", Knot("b", extra={"$set": {2, 1}, UUID(int=1): Decimal("1.10")}), extra=shared)
    knot.others.append(knot)

    assert to_json(knot, shared, (1, 2**63, float("nan"))) == GOLDEN
    again, second, _ = from_json(GOLDEN)
    assert again.extra is second == shared
    assert again.next.extra == knot.next.extra


# -- models ----------------------------------------------------------------------------------------


def test_a_model_is_written_whole_and_what_it_refers_to_as_a_reference() -> None:
    scribe = Scribe(name="Ani")
    letter = Missive(writer=scribe, text="dear", stamps=[Postmark(datetime(2024, 1, 1))])

    document = flatten_object(letter)

    assert document["writer"] == {"__model__": "Scribe", "__key__": {"__uuid__": str(scribe.id)}}
    assert document["stamps"] == [
        {
            "__model__": "Postmark",
            "at": {"__datetime__": "2024-01-01T00:00:00"},
            "ink": {"__enum__": ["Ink", "RED"]},
        }
    ]
    assert "pupils" not in flatten_object(scribe)


def test_a_model_that_refers_to_itself_does_so_by_its_key() -> None:
    letter = Missive(writer=Scribe(name="Ani"))
    letter.answer_to = letter

    document = flatten_object(letter)

    assert document["answer_to"] == {"__model__": "Missive", "__key__": document["id"]}
    found = unflatten_object(document)
    assert found.answer_to is found


def test_a_scope_gives_the_objects_that_are_referred_to() -> None:
    scribe = Scribe(name="Ani")
    letter = Missive(writer=scribe, about=[scribe])
    scope: dict[Any, Any] = {}
    document = flatten_object(letter, scope)
    assert scope == {(Missive, letter.id): letter, (Scribe, scribe.id): scribe}
    del scope[Missive, letter.id]

    found = unflatten_object(document, scope)

    assert found is not letter
    assert found.writer is found.about[0] is scribe
    assert scope[Missive, letter.id] is found
    assert unflatten_object(document, scope) is found


class Creature(Model):
    name: str
    friend: Creature | None = None


class Hound(Creature):
    loud: bool = True


def test_an_object_of_a_subclass_is_found_by_the_key_of_its_family() -> None:
    dog = Hound(name="Rex", loud=False)
    animal = Creature(name="Ani", friend=dog)
    scope: dict[Any, Any] = {}
    document = flatten_object(animal, scope)
    assert document["friend"]["__model__"] == "Hound"
    assert set(scope) == {(Creature, animal.id), (Creature, dog.id)}

    (found,) = through_json(animal)

    assert type(found.friend) is Hound
    assert not found.friend.loud
    del scope[Creature, animal.id]
    assert unflatten_object(document, scope).friend is dog


def test_force_forgets_the_unknown_fields_that_the_new_document_does_not_have() -> None:
    scribe = Scribe(name="Ani")
    scope: dict[Any, Any] = {}
    document = flatten_object(scribe, scope)
    unflatten_object({**document, "colour": "red"}, scope, force=True)
    assert flatten_object(scribe)["colour"] == "red"

    unflatten_object(document, scope, force=True)

    assert flatten_object(scribe) == document


def test_force_fills_an_object_of_the_scope_in_again() -> None:
    letter = Missive(writer=Scribe(name="Ani"), text="before")
    scope: dict[Any, Any] = {}
    document = flatten_object(letter, scope)
    letter.text = "after"

    assert unflatten_object(document, scope).text == "after"
    assert unflatten_object(document, scope, force=True) is letter
    assert letter.text == "before"


def test_a_reference_of_a_field_that_the_scope_lacks_stays_a_key() -> None:
    letter = Missive(writer=Scribe(name="Ani"))

    found = unflatten_object(flatten_object(letter))

    assert flatten_object(found) == flatten_object(letter)
    with pytest.raises(graven.NotLoadedError):
        _ = found.writer


def test_a_reference_inside_a_value_that_the_scope_lacks_is_refused_by_name() -> None:
    scribe = Scribe(name="Ani")
    document = flatten_object([scribe])

    with pytest.raises(NotFoundError, match="refers to Scribe"):
        unflatten_object(document)


def test_a_text_holds_the_whole_graph_of_models_with_its_cycles() -> None:
    scribe = Scribe(name="Ani")
    first = Missive(writer=scribe, text="one")
    first.answer_to = Missive(writer=scribe, text="two", answer_to=first)
    scribe.pupils = [first, first.answer_to]

    (found,) = through_json(scribe)

    one, two = found.pupils
    assert (found.id, found.name) == (scribe.id, "Ani")
    assert one.writer is two.writer is found
    assert one.answer_to is two
    assert two.answer_to is one


def test_a_text_that_does_not_follow_has_keys_in_place_of_models() -> None:
    scribe = Scribe(name="Ani")
    letter = Missive(writer=scribe)
    text = to_json(letter, follow=False)
    assert "Ani" not in text

    (found,) = from_json(text, {(Scribe, scribe.id): scribe})

    assert found.writer is scribe


def test_a_key_of_several_fields_is_a_list_in_a_reference() -> None:
    shelf = Bookcase(row=1, place=2)
    box = Box(shelf=shelf)
    box.number = 5

    document = flatten_object(box)

    assert document["shelf"]["__key__"] == [1, 2]
    assert unflatten_object(document, {(Bookcase, (1, 2)): shelf}).shelf is shelf


def test_what_has_no_key_yet_cannot_be_referred_to_in_a_document_but_in_a_text() -> None:
    box = Box(inner=Box())

    with pytest.raises(DataError, match="has no key yet"):
        flatten_object(box)
    (found,) = through_json(box)

    assert found.inner.number is None


def test_get_or_create_gives_the_object_of_the_scope_or_an_empty_one() -> None:
    scribe = Scribe(name="Ani")
    document = flatten_object(scribe)
    scope: dict[Any, Any] = {}

    made, is_new = get_or_create(Scribe, document, scope)

    assert is_new
    assert get_or_create(Scribe, document, scope) == (made, False)
    assert unflatten_object(document, scope, force=True) is made
    assert made.name == "Ani"
    with pytest.raises(DataError, match="document of a Missive"):
        get_or_create(Missive, document)


def test_get_object_state_of_a_reference_is_that_of_the_object_in_the_scope() -> None:
    scribe = Scribe(name="Ani")
    letter = Missive(writer=scribe)
    scope: dict[Any, Any] = {}
    document = flatten_object(letter, scope)

    state = get_object_state(scribe, document["writer"], scope)

    assert state == {"id": {"__uuid__": str(scribe.id)}, "name": "Ani"}


# -- change ----------------------------------------------------------------------------------------


def test_unknown_fields_survive_inside_embedded_values_too() -> None:
    knot = flatten_object(Knot("a", Knot("b")))
    knot["next"]["colour"] = {"__model__": "Future", "__version__": 3, "of": [{"__ref__": 0}]}
    knot["weight"] = {"__enum__": ["Planet", "MARS"]}
    knot["owner"] = {"__model__": "Alien", "__key__": {"__uuid__": str(UUID(int=1))}}
    knot["next"]["__ordinal__"] = 0

    found = unflatten_object(knot)
    again = flatten_object(found)
    text = to_json(found)

    assert again == knot
    assert flatten_object(from_json(text)[0]) == knot


def test_unknown_fields_go_with_their_object() -> None:
    from graven.models.documents.unknown import unknown_fields

    gc.collect()
    before = len(unknown_fields.entries)
    found = unflatten_object({"__model__": "Knot", "name": "a", "colour": "red"})
    assert len(unknown_fields.entries) == before + 1

    del found
    gc.collect()

    assert len(unknown_fields.entries) == before


def test_unknown_fields_that_could_not_be_kept_are_refused() -> None:
    with pytest.raises(DataError, match="weakref_slot=True"):
        unflatten_object({"__model__": "Slotted", "number": 1, "colour": "red"})


@document_type(name="test.Place", aliases=("Arena", "Spot"))
@dataclasses.dataclass
class Place:
    town: str = dataclasses.field(metadata={"renamed_from": ("city", "ville")})
    rooms: int = 1


def test_a_renamed_class_and_its_renamed_fields_are_read() -> None:
    assert unflatten_object({"__model__": "Arena", "city": "Ulm"}) == Place("Ulm")
    assert unflatten_object({"__model__": "Spot", "ville": "Ulm", "rooms": 2}) == Place("Ulm", 2)
    assert flatten_object(Place("Ulm")) == {"__model__": "test.Place", "town": "Ulm", "rooms": 1}


@document_type(aliases=("OldTale",))
class Tale(Model):
    title: str = field(renamed_from="name")
    tags: list[str] = field(
        default_factory=list, flatten=",".join, unflatten=lambda s: s.split(",")
    )


def test_a_renamed_model_is_read_and_hooks_of_its_fields_are_used() -> None:
    document = flatten_object(Tale(title="Old", tags=["a", "b"]))
    assert document["tags"] == "a,b"

    found = unflatten_object(
        {"__model__": "OldTale", "id": document["id"], "name": "Old", "tags": "a,b"}
    )

    assert (found.title, found.tags) == ("Old", ["a", "b"])
    assert get_object_state(found, {"__model__": "OldTale", "name": "Old"}) == {"title": "Old"}


def split_name(state: dict[str, Any]) -> dict[str, Any]:
    first, last = state.pop("name").split(" ")
    return {**state, "first": first, "last": last}


@document_type(version=3, upcasters={1: split_name, 2: lambda s: {**s, "titles": [s["title"]]}})
@dataclasses.dataclass
class Lodger:
    first: str
    last: str
    titles: list[str]


def test_former_versions_go_through_every_upcaster_on_the_way() -> None:
    old = {"__model__": "Lodger", "name": "Ada King", "title": "Countess"}

    found = unflatten_object(old)

    assert (found.first, found.last, found.titles) == ("Ada", "King", ["Countess"])
    assert old["name"] == "Ada King"
    assert flatten_object(found)["__version__"] == 3
    assert flatten_object(found)["title"] == "Countess"


def test_a_later_version_is_refused() -> None:
    with pytest.raises(DataError, match="found a Lodger of version 4"):
        unflatten_object({"__model__": "Lodger", "__version__": 4})


def test_a_version_without_its_upcaster_cannot_be_declared() -> None:
    with pytest.raises(MappingError, match="no upcaster from version 2"):
        document_type(version=3, upcasters={1: split_name})(Coin)


# -- what is refused -------------------------------------------------------------------------------


class Stranger:
    pass


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (Stranger(), "not registered"),
        (Stranger, "not registered"),
        (type("Text", (str,), {})("x"), "not registered"),
        (1j, "not registered"),
        (Knot(name=3), "expected str"),  # type: ignore[arg-type]
        (Knot("a", next=Coin(1)), "expected Knot or None"),  # type: ignore[arg-type]
        (Missive(writer=None), "expected Scribe"),  # type: ignore[arg-type]
        (Missive(writer=Scribe(name="x"), text=b""), "expected str"),  # type: ignore[arg-type]
    ],
    ids=range(8),
)
def test_what_would_not_come_back_is_refused_when_it_is_written(value: Any, words: str) -> None:
    for write in (flatten_object, to_json):
        with pytest.raises(DataError, match=words):
            write(value)


def test_a_field_that_was_never_set_is_named() -> None:
    knot = Knot("a")
    del knot.name

    with pytest.raises(DataError, match=r"Knot\.name"):
        flatten_object(knot)


def test_a_lone_surrogate_is_refused_in_a_text() -> None:
    with pytest.raises(DataError, match="lone surrogate"):
        to_json(["\ud800"])


def test_two_types_of_one_name_are_refused_by_both_their_places() -> None:
    first, second = (dataclasses.make_dataclass("Twin", [("a", int)]) for _ in range(2))
    first.__module__, second.__module__ = "one", "two"
    serializer = ModelSerializer(first, second)

    with pytest.raises(MappingError, match=r"one\.Twin and two\.Twin"):
        serializer.flatten_object(first(1))
    with pytest.raises(MappingError, match=r"one\.Twin and two\.Twin"):
        serializer.unflatten_object({"__model__": "Twin", "a": 1})


def test_a_serializer_with_types_of_its_own_knows_no_others() -> None:
    serializer = ModelSerializer(Coin)

    assert serializer.unflatten_object(serializer.flatten_object(Coin(1))) == Coin(1)
    with pytest.raises(DataError, match="not registered"):
        serializer.flatten_object(Knot("a"))
    with pytest.raises(DataError, match="known are Coin"):
        serializer.unflatten_object({"__model__": "Knot", "name": "a"})


def test_native_types_stand_for_themselves_in_documents_and_not_in_texts() -> None:
    serializer = ModelSerializer(Coin, native=[bytes, UUID])
    value = [b"x", UUID(int=1), Decimal(1)]

    document = serializer.flatten_object(value)

    assert document == [b"x", UUID(int=1), {"__decimal__": "1"}]
    assert serializer.unflatten_object(document) == value
    assert serializer.from_json(serializer.to_json(value)) == [value]


def test_importing_graven_does_not_import_the_codec() -> None:
    import subprocess

    code = "import sys, graven; sys.exit('graven.models.documents' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
