"""What a model may not declare is refused with a message that says how to declare it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import datetime
from typing import Any, Literal

import pytest

from graven import MappingError, Model, field, key, many_to_many, owned
from graven.models.model import mapper_of


class Home(Model):
    name: str


class Guest(Model):
    home: Home
    name: str


def misspelt_option() -> None:
    class Bad(Model, tabel="x"):
        name: str


def table_of_subclass() -> None:
    class Bad(Home, table="x"):
        more: str


def guard_of_subclass() -> None:
    class Bad(Home, guard="none"):
        more: str


def unknown_guard() -> Any:
    class Bad(Model, guard="lock"):
        name: str

    return Bad


def shared_default() -> None:
    class Bad(Model):
        tags: list[str] = []  # noqa: RUF012


def shared_default_in_field() -> None:
    class Bad(Model):
        tags: dict[str, int] = field(default={})


def two_defaults() -> None:
    class Bad(Model):
        name: str = field(default="", default_factory=str)


def method_and_field() -> None:
    class Bad(Model):
        name: str

        def name(self) -> str:  # type: ignore[no-redef]
            return ""


def hidden_field() -> None:
    class Bad(Home):
        name = "other"


def two_stored_bases() -> None:
    class Bad(Home, Guest):
        pass


def plain_list_of_models() -> Any:
    class Bad(Model):
        homes: list[Home]

    return Bad


def owned_scalar() -> Any:
    class Bad(Model):
        homes: int = owned("name")

    return Bad


def optional_list() -> Any:
    class Bad(Model):
        homes: list[Home] | None = many_to_many()

    return Bad


def dict_of_models() -> Any:
    class Bad(Model):
        homes: dict[str, list[Home]]

    return Bad


def owned_by_nothing() -> Any:
    class Bad(Model):
        guests: list[Guest] = owned("house")

    return Bad


def owned_by_scalar() -> Any:
    class Bad(Model):
        guests: list[Guest] = owned("name")

    return Bad


def owned_by_reference_to_another() -> Any:
    class Bad(Model):
        guests: list[Guest] = owned("home")

    return Bad


def on_delete_of_scalar() -> Any:
    class Bad(Model):
        name: str = field(on_delete="cascade")

    return Bad


def set_null_of_required() -> Any:
    class Bad(Model):
        home: Home = field(on_delete="set_null")

    return Bad


def unknown_on_delete() -> None:
    class Bad(Model):
        home: Home = field(on_delete="explode")


def reference_as_key() -> Any:
    class Bad(Model):
        home: Home = key()

    return Bad


def list_as_key() -> Any:
    class Bad(Model):
        parts: tuple[int, ...] = key()

    return Bad


def optional_key() -> Any:
    class Bad(Model):
        code: str | None = key()

    return Bad


def float_as_key() -> Any:
    class Bad(Model):
        size: float = key()

    return Bad


def text_made_by_the_store() -> Any:
    class Bad(Model):
        code: str = key(store_made=True)

    return Bad


def part_made_by_the_store() -> Any:
    class Bad(Model):
        number: int = key(store_made=True)
        letter: str = key()

    return Bad


def key_of_subclass() -> Any:
    class Top(Model):
        name: str

    class Bad(Top):
        number: int = key()

    return Bad


def two_fields_of_one_column() -> Any:
    class Bad(Model):
        home: Home
        home_id: int

    return Bad


def case_does_not_count() -> Any:
    class Bad(Model):
        name: str
        Name: str

    return Bad


def subclasses_of_one_name() -> Any:
    class Top(Model):
        name: str

    def make() -> None:
        class Bad(Top):
            pass

    make()
    make()
    return Top


def subclasses_that_disagree() -> Any:
    class Top(Model):
        name: str

    class One(Top):
        size: int

    class Bad(Top):
        size: str

    return Bad


def unknown_index() -> Any:
    class Bad(Model, indexes=(("name", "size"),)):
        name: str

    return Bad


def unique_list() -> Any:
    class Bad(Model, unique=("homes",)):
        homes: list[Home] = many_to_many()

    return Bad


def unknown_name() -> Any:
    class Bad(Model):
        home: Hoem  # type: ignore[name-defined]  # noqa: F821

    return Bad


def no_type() -> Any:
    class Bad(Model):
        home: 1 / 0  # type: ignore[valid-type]

    return Bad


def ambiguous_union() -> Any:
    class Bad(Model):
        when: datetime | str

    return Bad


DECLARED: list[tuple[Callable[[], Any], str, str | None]] = [
    (misspelt_option, "option 'tabel'.*table", None),
    (table_of_subclass, "shares the table of its base", None),
    (guard_of_subclass, "shares the table of its base", None),
    (unknown_guard, "'lock'.*version", None),
    (shared_default, "default_factory", "tags"),
    (shared_default_in_field, "default_factory", "tags"),
    (two_defaults, "only one of them", None),
    (method_and_field, "method or property", "name"),
    (hidden_field, "hides the field", "name"),
    (two_stored_bases, "several stored bases", None),
    (plain_list_of_models, r"owned\('author'\)", "homes"),
    (owned_scalar, "only such a list can", "homes"),
    (optional_list, "empty rather than None", "homes"),
    (dict_of_models, "Home inside a value", "homes"),
    (owned_by_nothing, "Guest.house.*no such field", "guests"),
    (owned_by_scalar, "Guest.name.*a scalar there", "guests"),
    (owned_by_reference_to_another, "Guest.home.*a reference to Home", "guests"),
    (on_delete_of_scalar, "goes with a reference", "name"),
    (set_null_of_required, "may be None", "home"),
    (unknown_on_delete, "cascade", None),
    (reference_as_key, "plain values", "home"),
    (list_as_key, "plain values", "parts"),
    (optional_key, "never None", "code"),
    (float_as_key, "not exact enough", "size"),
    (text_made_by_the_store, "whole numbers", "code"),
    (part_made_by_the_store, "whole numbers", "number"),
    (key_of_subclass, "Declare the key in Top", None),
    (two_fields_of_one_column, "share the column 'home_id'", "home_id"),
    (case_does_not_count, "share the column 'Name'", "Name"),
    (subclasses_of_one_name, "another class of that name", None),
    (subclasses_that_disagree, "would hold int for one class and str", "size"),
    (unknown_index, "indexes names 'size'", "size"),
    (unique_list, "unique names 'homes'", "homes"),
    (unknown_name, "names 'Hoem'.*Import it", "home"),
    (no_type, "cannot be evaluated", "home"),
    (ambiguous_union, "more closely", "when"),
]


@pytest.mark.parametrize(
    ("declare", "words", "name"), DECLARED, ids=[one[0].__name__ for one in DECLARED]
)
def test_a_declaration_that_cannot_be_stored_is_refused(
    declare: Callable[[], Any], words: str, name: str | None
) -> None:
    with pytest.raises(MappingError, match=words) as caught:
        mapper_of(declare())
    assert caught.value.field == name


def test_a_refused_model_is_refused_again_and_leaves_no_trace() -> None:
    bad = owned_by_nothing()
    before = list(mapper_of(Guest).root.referrers), list(mapper_of(Home).root.referrers)

    for _ in range(2):
        with pytest.raises(MappingError, match="no such field"):
            mapper_of(bad)
        with pytest.raises(MappingError, match="no such field"):
            bad()
    assert (mapper_of(Guest).root.referrers, mapper_of(Home).root.referrers) == before


def test_a_model_is_usable_once_what_it_lacked_is_defined() -> None:
    class Early(Model):
        later: Later
        again: Home

    count = len(mapper_of(Home).root.referrers)
    with pytest.raises(MappingError, match="'Later'"):
        mapper_of(Early)
    assert len(mapper_of(Home).root.referrers) == count

    class Later(Model):
        name: str

    assert Early(later=Later(name="x"), again=Home(name="h")).later.name == "x"
    assert mapper_of(Early).field("later").target.model is Later


def test_a_subclass_of_a_model_in_use_is_refused() -> None:
    class Used(Model):
        name: str

    Used(name="x")
    with pytest.raises(MappingError, match="before the first use"):

        class Late(Used):
            more: str


def test_threads_that_use_a_model_for_the_first_time_agree_on_its_layout() -> None:
    def pair() -> tuple[Any, Any]:
        class Left(Model):
            right: Right | None = None

        class Right(Model):
            left: Left | None = None
            size: int = 0

        return Left, Right

    for _ in range(20):
        Left, Right = pair()  # noqa: N806
        ready = threading.Barrier(4)
        found: list[Any] = []

        def use(model: Any, ready: Any = ready, found: Any = found) -> None:
            ready.wait()
            found.append((mapper_of(model), model()))

        threads = [threading.Thread(target=use, args=(one,)) for one in (Left, Right, Left, Right)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {id(mapper) for mapper, _ in found} == {id(Left._mapper), id(Right._mapper)}
        assert Left._mapper.field("right").target is Right._mapper
        assert Right._mapper.field("left").target is Left._mapper


def test_a_literal_in_an_annotation_is_no_forward_reference() -> None:
    class Choice(Model):
        name: Literal["a", "b"] = "a"
        several: list[Literal["Home"]] = field(default_factory=list)

    assert mapper_of(Choice).field("several").form == "document"


def test_options_and_defaults_of_a_field_reach_its_column() -> None:
    class Rich(Model, table="riches", unique=("code", ("code", "home")), indexes=("size",)):
        code: str = field(unique=True)
        size: int = field(default=3, index=True, renamed_from=("width", "length"))
        home: Home | None = field(default=None, unique=True, renamed_from="house")

    table = mapper_of(Rich).table
    assert table.name == "riches"
    assert table.uniques == (("code",), ("code", "home_id"))
    assert table.indexes == (("size",),)
    assert table.column("code").unique
    assert table.column("size").index
    assert table.column("size").renamed_from == ("width", "length")
    assert table.column("home_id").renamed_from == ("house_id",)
    assert (Rich(code="x").size, Rich(code="x").home) == (3, None)
