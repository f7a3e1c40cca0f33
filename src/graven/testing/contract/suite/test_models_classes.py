"""Model classes: inheritance, constructors, equality, annotations, and what an object is."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, ClassVar, Optional

import pytest

import graven
from graven import DataError, MappingError, Model, UsageError, field, key, owned
from graven.testing.contract import rows, update


class Animal(Model):
    name: str
    owner: Optional["Keeper"] = None  # noqa: UP037, UP045 - text inside an annotation

    def sound(self) -> str:
        return "…"


class Dog(Animal):
    breed: str = "mixed"

    def sound(self) -> str:
        return "woof"


class Puppy(Dog):
    weeks: int


class Cat(Animal):
    lives: int = 9
    name: str = "cat"


class Keeper(Model):
    name: str
    animals: list[Animal] = owned("owner")


class Stamped(Model, abstract=True):
    made: datetime = field(default_factory=lambda: datetime(2024, 1, 1, tzinfo=UTC))
    note: str = ""
    kinds: ClassVar[list[str]] = ["stamped"]

    @property
    def year(self) -> int:
        return self.made.year

    def annotate(self, text: str) -> None:
        self.note = text


class Loud:
    """A mixin that is no model."""

    def shout(self) -> str:
        return self.title.upper()  # type: ignore[attr-defined,no-any-return]


class Article(Loud, Stamped):
    title: str
    words: int = 0

    def __post_init__(self) -> None:
        self.words = len(self.title.split())

    @property
    def heading(self) -> str:
        return self.title.title()

    @heading.setter
    def heading(self, text: str) -> None:
        self.title = text.lower()


class Special(Article, abstract=True):
    level: int = 1


class VerySpecial(Special):
    reason: str = ""


class Own(Model):
    low: int
    high: int
    owner: Keeper | None = None

    def __init__(self, span: str) -> None:
        low, _, high = span.partition("-")
        self.low = int(low)
        if high:
            self.high = int(high)


class Base(Model):
    name: str


class Derived(Base):
    extra: int

    def __init__(self, name: str) -> None:
        super().__init__(name=name, extra=len(name))


class Equal(Model):
    id: int
    name: str = ""
    friend: Equal | None = None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal) and other.name == self.name


class Watchful(Model):
    id: int
    name: str = ""

    def __setattr__(self, name: str, value: object) -> None:
        if name == "name" and not value:
            raise ValueError("a name is needed")
        super().__setattr__(name, value)


def zoo(db: Any) -> None:
    with db.session() as session:
        keeper = Keeper(name="Kim")
        session.add(
            Animal(name="Thing"),
            Dog(name="Rex", breed="collie", owner=keeper),
            Puppy(name="Pip", weeks=6, owner=keeper),
            Cat(lives=7),
        )


def test_a_query_for_the_base_gives_each_object_its_class_and_fields(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Animal)
    zoo(db)

    with db.session() as session:
        found = session.query(Animal).order_by(Animal.name).all()
        assert [type(one).__name__ for one in found] == ["Puppy", "Dog", "Animal", "Cat"]
        assert [one.__class__ for one in found] == [Puppy, Dog, Animal, Cat]
        pip, rex, thing, cat = found
        assert (pip.breed, pip.weeks, rex.breed, cat.lives) == ("mixed", 6, "collie", 7)
        assert [one.sound() for one in found] == ["woof", "woof", "…", "…"]
        assert not hasattr(thing, "breed")


def test_a_query_for_a_subclass_gives_it_and_its_own_subclasses_only(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Animal)
    zoo(db)

    with db.session() as session:
        session.add(Puppy(name="New", weeks=1), Cat(name="Tom"))
        assert {one.name for one in session.query(Dog).all()} == {"Rex", "Pip", "New"}
        assert {one.name for one in session.query(Puppy).where(Puppy.weeks > 2).all()} == {"Pip"}
        assert session.query(Cat).count() == 2
        session.rollback()


def test_get_by_base_and_by_subclass_gives_the_same_object(open_db: Callable[..., Any]) -> None:
    db = open_db(Dog)
    dog = Dog(name="Rex")
    with db.session() as session:
        session.add(dog)
    with db.session() as session:
        found = session.get(Animal, dog.id)
        assert session.get(Dog, dog.id) is found
        assert session.get(Cat, dog.id) is None
        assert session.has_key(Animal, dog.id)
        assert not session.has_key(Cat, dog.id)
    with db.session() as session:
        assert session.get(Cat, dog.id) is None
        assert isinstance(session.get(Animal, dog.id), Dog)


def test_a_subclass_field_is_changed_and_written_alone(open_db: Callable[..., Any]) -> None:
    db = open_db(Animal)
    zoo(db)

    with db.session() as session:
        session.query(Puppy).one().weeks = 7
        assert "weeks" in session.explain()
        assert "breed" not in session.explain()
    with db.session() as session:
        assert session.query(Puppy).one().weeks == 7


def test_an_owned_list_of_a_base_holds_its_subclasses(open_db: Callable[..., Any]) -> None:
    db = open_db(Keeper)
    zoo(db)

    with db.session() as session:
        keeper = session.query(Keeper).include(Keeper.animals).one()
        assert {type(one).__name__ for one in keeper.animals} == {"Dog", "Puppy"}


def test_a_row_of_a_class_that_is_not_known_is_named(open_db: Callable[..., Any]) -> None:
    db = open_db(Animal)
    zoo(db)
    for (number,) in rows(db, Animal, "id", type="Cat"):
        update(db, Animal, number, type="Cow")

    with db.session() as session:
        with pytest.raises(MappingError, match=r"class 'Cow'.*import"):
            session.query(Animal).all()
        assert len(session.query(Dog).all()) == 2


def test_fields_methods_and_properties_of_abstract_bases_and_mixins_work(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Article)
    with db.session() as session:
        session.add(Article(title="on zebras"), VerySpecial(title="very", reason="why", level=3))
    with db.session() as session:
        article = session.query(Article).where(Article.words == 2).one()
        assert (article.year, article.heading, article.shout()) == (2024, "On Zebras", "ON ZEBRAS")
        article.heading = "NEW"
        article.annotate("noted")
        special = session.query(VerySpecial).one()
        assert (special.level, special.reason, special.words) == (3, "why", 1)
    with db.session() as session:
        found = session.query(Article).where(Article.title == "new").one()
        assert (found.note, found.words) == ("noted", 2)
        assert Article.kinds == ["stamped"]


def test_an_abstract_model_cannot_be_used_itself(open_db: Callable[..., Any]) -> None:
    db = open_db()
    for model in (Stamped, Special, Model):
        with pytest.raises(MappingError, match="abstract"):
            db.create(model)
        with pytest.raises(MappingError, match="abstract"):
            model(title="x")


def test_a_constructor_of_ones_own_is_used_for_new_objects_only(
    open_db: Callable[..., Any], colour: Any
) -> None:
    db = open_db(Own)
    with db.session(autoadd=True):
        colour.call(lambda: Own("3-7"))
    with db.session() as session:
        found = session.query(Own).one()
        assert (found.low, found.high, found.owner) == (3, 7, None)
        assert isinstance(found.id, type(Keeper(name="x").id))


def test_a_field_that_a_constructor_forgot_is_named_before_the_write(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Own)
    with db.session() as session:
        half = Own("3")
        assert "low=3" in repr(half)
        assert not hasattr(half, "high")
        session.add(half)
        with pytest.raises(DataError, match=r"Own\.high.*never given a value"):
            session.commit()
        half.high = 4
    assert rows(db, Own, "low", "high") == [(3, 4)]


def test_a_constructor_of_a_subclass_may_call_that_of_its_base(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Base)
    with db.session() as session:
        session.add(Base(name="a"), Derived("four"), Base(name="b"), Derived("sevens"))
    with db.session() as session:
        assert sorted(one.extra for one in session.query(Derived).all()) == [4, 6]


class Outer(Model):
    level: int = 0

    def __init__(self) -> None:
        self.note = "outer"

    note: str = ""


class Inner(Outer):
    depth: int = 0

    def __init__(self) -> None:
        self.level = 5
        super().__init__()
        self.depth = 1


def test_constructors_of_ones_own_may_call_each_other() -> None:
    one = Inner()

    assert (one.level, one.note, one.depth) == (5, "outer", 1)


def test_equality_of_ones_own_does_not_hide_a_change(open_db: Callable[..., Any]) -> None:
    db = open_db(Equal)
    with db.session() as session:
        first, second = Equal(id=1), Equal(id=2)
        assert first == second
        session.add(first, second, Equal(id=3, friend=first))
    with db.session() as session:
        third = session.query(Equal).include(Equal.friend).where(Equal.id == 3).one()
        third.friend = session.get(Equal, 2)
        assert list(session.dirty) == [third]
    assert rows(db, Equal, "friend_id", id=3) == [(2,)]


def test_objects_are_hashed_by_identity_and_equal_to_themselves_alone() -> None:
    first = Keeper(name="same")
    second = Keeper(id=first.id, name="same")

    assert first != second
    assert len({first, second, first}) == 2
    with pytest.raises(TypeError):
        first < second  # type: ignore[operator]  # noqa: B015


def test_an_object_is_of_its_class_whether_clean_or_changed(open_db: Callable[..., Any]) -> None:
    db = open_db(Keeper)
    with db.session() as session:
        keeper = Keeper(name="Kim")
        session.add(keeper)
        for change in (lambda: None, session.commit, lambda: setattr(keeper, "name", "Lee")):
            change()
            assert isinstance(keeper, Keeper)
            assert keeper.__class__ is Keeper
            assert not isinstance(keeper, Animal)
            assert hash(keeper) == object.__hash__(keeper)


@pytest.mark.parametrize("state", ["new", "clean", "changed", "closed"])
@pytest.mark.parametrize("copying", [copy.copy, copy.deepcopy, pickle.dumps])
def test_an_object_is_neither_copied_nor_pickled(
    open_db: Callable[..., Any], state: str, copying: Callable[[Any], Any]
) -> None:
    db = open_db(Keeper)
    keeper = Keeper(name="Kim")
    with db.session() as session:
        if state != "new":
            session.add(keeper)
            session.commit()
        if state == "changed":
            keeper.name = "Lee"
        if state != "closed":
            with pytest.raises(UsageError, match=r"cannot copy or pickle Keeper.*send its key"):
                copying(keeper)
    with pytest.raises(UsageError):
        copying(keeper)


def test_an_unknown_attribute_is_refused_and_changes_nothing(open_db: Callable[..., Any]) -> None:
    db = open_db(Keeper)
    with db.session() as session:
        keeper = Keeper(name="Kim")
        session.add(keeper)
        with pytest.raises(AttributeError, match="nmae"):
            keeper.nmae = "x"  # type: ignore[attr-defined]
        session.commit()
        with pytest.raises(AttributeError, match="nmae"):
            keeper.nmae = "x"  # type: ignore[attr-defined]
        with pytest.raises(AttributeError, match="nmae"):
            keeper.nmae  # type: ignore[attr-defined]  # noqa: B018
        assert session.plan() == []
        with session.begin(), pytest.raises(AttributeError, match="nmae"):
            keeper.nmae = "x"  # type: ignore[attr-defined]
        assert session.plan() == []


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, r"Dog\.__init__\(\) missing 1 required keyword-only argument: 'name'"),
        ({"name": "x", "bread": "y"}, r"Dog\.__init__\(\) got an unexpected keyword.*'bread'"),
    ],
    ids=["missing", "unknown"],
)
def test_missing_and_unknown_constructor_fields_are_named(
    fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(TypeError, match=words):
        Dog(**fields)
    with pytest.raises(TypeError, match="positional"):
        Dog("Rex")  # type: ignore[misc]


def test_a_setter_of_ones_own_sees_every_write(open_db: Callable[..., Any]) -> None:
    db = open_db(Watchful)
    with db.session() as session:
        session.add(Watchful(id=1, name="a"))
    with db.session() as session:
        one = session.get(Watchful, 1)
        with pytest.raises(ValueError, match="needed"):
            one.name = ""
        one.name = "b"
        with pytest.raises(ValueError, match="needed"):
            one.name = ""
        scope = session.begin()
        with pytest.raises(ValueError, match="needed"):
            one.name = ""
        one.name = "c"
        scope.commit()
    assert rows(db, Watchful, "name") == [("c",)]


def test_repr_shows_values_and_keys_and_loads_nothing(open_db: Callable[..., Any]) -> None:
    db = open_db(Animal)
    zoo(db)
    statements: list[str] = []

    with db.session() as session:
        rex = session.query(Dog).where(Dog.name == "Rex").one()
        db.on_statement(lambda text, *rest: statements.append(text))
        shown = repr(rex)
        db.on_statement(None)
    assert shown.startswith("Dog(id=UUID(")
    assert "name='Rex', owner_id=UUID(" in shown
    assert "breed='collie'" in shown
    assert statements == []
    assert repr(rex) == shown


class Awkward:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_repr_never_fails() -> None:
    assert "name=<Awkward>" in repr(Dog(name=Awkward()))  # type: ignore[arg-type]
    assert "owner_id=None" in repr(Dog(name="x", owner="nobody"))  # type: ignore[arg-type]
    assert repr(object.__new__(Dog)) == "Dog(owner_id=None)"
    assert len(repr(Dog(name="x" * 10_000))) < 300
    assert "name=<int>" in repr(Dog(name=10**5000))  # type: ignore[arg-type]
    assert "Stamped object" in repr(object.__new__(Stamped))


def test_models_defined_in_a_function_find_each_other(open_db: Callable[..., Any]) -> None:
    class LocalChild(Model):
        parent: LocalParent
        tags: list[Local] = field(default_factory=list)

    class LocalParent(Model):
        name: str

    Local = str  # noqa: N806 - the name is only known here

    LocalChild._names["Local"] = Local
    db = open_db(LocalChild)
    with db.session() as session:
        session.add(LocalChild(parent=LocalParent(name="p"), tags=["a"]))
    with db.session() as session:
        found = session.query(LocalChild).include(LocalChild.parent).one()
        assert (found.parent.name, found.tags) == ("p", ["a"])


def test_models_of_one_name_in_two_functions_are_not_mixed_up() -> None:
    def first() -> tuple[Any, Any]:
        class Pair(Model):
            other: Mate

        class Mate(Model):
            one: int

        return Pair, Mate

    def second() -> tuple[Any, Any]:
        class Pair(Model):
            other: Mate

        class Mate(Model):
            two: int

        return Pair, Mate

    made = [first(), second(), first(), second()]
    for pair, mate in reversed(made):
        with pytest.raises(TypeError, match="Mate"):
            mate()
        with pytest.raises(TypeError, match="Pair"):
            pair()
    assert [pair._mapper.field("other").target.model for pair, _ in made] == [
        mate for _, mate in made
    ]


def test_an_object_of_the_blocking_colour_is_one_of_the_async_colour(
    open_db: Callable[..., Any], url: str
) -> None:
    open_db(Keeper)
    with graven.Database(url) as db, db.session() as session:
        keeper = Keeper(name="Kim")
        session.add(keeper)
    with open_db().session() as session:
        session.add(keeper)
        keeper.name = "Lee"
    assert rows(open_db(), Keeper, "name") == [("Lee",)]


class Part(Model):
    number: int = key()
    maker: str = key()
    whole: Part | None = None


def test_a_part_of_a_composite_key_is_written_in_the_order_declared(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Part)
    with db.session() as session:
        session.add(Part(number=2, maker="m", whole=Part(number=1, maker="m")))
    with db.session() as session:
        assert session.get(Part, (2, "m")).number == 2
        with pytest.raises(DataError):
            session.get(Part, ("m", 2))
