"""A query with pending changes answers as the same query does after committing them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from graven import Model, desc, field, ilike, in_, key, owned
from graven.testing.contract import rows, sweep

NAMES = st.sampled_from([None, "", "a", "b", "B", "é"])
NUMBERS = st.sampled_from([None, 1, 2, 3])
KEYS = st.integers(1, 5)


class Realm(Model):
    id: int = key()
    name: str | None = None


class Bard(Model):
    id: int = key()
    name: str | None = None
    realm: Realm | None = field(default=None, on_delete="set_null")
    songs: list[Song] = owned("bard")


class Song(Model):
    id: int = key()
    title: str | None = None
    rating: int | None = None
    bard: Bard | None = None
    rival: Bard | None = field(default=None, on_delete="set_null")
    answer_to: Song | None = field(default=None, on_delete="cascade")


FIELDS: dict[type, dict[str, Any]] = {
    Realm: {"name": NAMES},
    Bard: {"name": NAMES, "realm": (Realm, KEYS)},
    Song: {
        "title": NAMES,
        "rating": NUMBERS,
        "bard": (Bard, KEYS),
        "rival": (Bard, KEYS),
        "answer_to": (Song, KEYS),
    },
}

TEXTS = [
    Song.title,
    Song.bard.name,
    Song.rival.name,
    Song.bard.realm.name,
    Song.answer_to.title,
    Song.answer_to.bard.name,
]


@st.composite
def changes(draw: Any) -> list[tuple[Any, ...]]:
    found = []
    for _ in range(draw(st.integers(1, 6))):
        model = draw(st.sampled_from(list(FIELDS)))
        action = draw(st.sampled_from(["set", "set", "set", "add", "delete"]))
        name = draw(st.sampled_from(list(FIELDS[model])))
        kind = FIELDS[model][name]
        value = draw(kind[1] if isinstance(kind, tuple) else kind)
        is_null = draw(st.integers(0, 3)) == 0
        found.append((action, model, draw(KEYS), name, None if is_null else value))
    return found


def leaves() -> Any:
    text = st.builds(
        lambda column, sign, value: {
            "==": column == value,
            "!=": column != value,
            "<": column < value,
            ">=": column >= value,
            "in": in_(column, [value, "a"]),
            "ilike": ilike(column, "b"),
        }[sign],
        st.sampled_from(TEXTS),
        st.sampled_from(["==", "!=", "<", ">=", "in", "ilike"]),
        NAMES,
    )
    number = st.builds(
        lambda sign, value: Song.rating == value if sign else Song.rating > value,
        st.booleans(),
        NUMBERS,
    )
    reference = st.builds(
        lambda column, value: column == value,
        st.sampled_from([Song.bard, Song.rival, Song.bard.realm, Song.answer_to]),
        st.one_of(st.none(), KEYS),
    )
    columns = st.sampled_from([Song.bard == Song.rival, Song.bard.name == Song.rival.name])
    return st.one_of(text, number, reference, columns)


CONDITIONS = st.recursive(
    leaves(),
    lambda inner: st.one_of(
        st.builds(lambda a, b: a & b, inner, inner),
        st.builds(lambda a, b: a | b, inner, inner),
        st.builds(lambda a: ~a, inner),
    ),
    max_leaves=4,
)
ORDERS = st.lists(
    st.builds(
        lambda column, is_down: desc(column) if is_down else column,
        st.sampled_from([*TEXTS, Song.rating, Song.bard]),
        st.booleans(),
    ),
    max_size=2,
)


def fill(session: Any) -> None:
    """Three of five possible objects of each model, with references here and there."""
    realms = [Realm(id=n, name=name) for n, name in ((1, "a"), (2, "b"), (3, None))]
    bards = [
        Bard(id=1, name="a", realm=realms[0]),
        Bard(id=2, name="B", realm=realms[1]),
        Bard(id=3),
    ]
    songs = [Song(id=1, title="a", rating=1, bard=bards[0], rival=bards[1])]
    songs.append(Song(id=2, title="b", rating=2, bard=bards[1], answer_to=songs[0]))
    songs.append(Song(id=3, title=None, bard=bards[0], rival=bards[0], answer_to=songs[1]))
    songs.append(Song(id=4, title="é", rating=3))
    session.add(*realms, *bards, *songs)


def apply(session: Any, change: tuple[Any, ...]) -> None:
    """Carry out one change; one that makes no sense now is left out."""
    action, model, number, name, value = change
    target = session.get(model, number)
    kind = FIELDS[model][name]
    if isinstance(kind, tuple) and value is not None:
        value = session.get(kind[0], value)
    if action == "add" and target is None:
        if not rows(session, model, id=number):
            session.add(model(id=number, **{name: value}))
    elif action == "delete" and target is not None:
        session.delete(target)
    elif action == "set" and target is not None:
        setattr(target, name, value)


def answers(query: Any) -> tuple[Any, ...]:
    found = [one.id for one in query.all()]
    streamed = [one.id for one in query.stream()]
    return found, streamed, query.count(), query.exists()


def test_pending_changes_count_in_a_query_as_if_they_had_been_committed(
    open_db: Callable[..., Any],
) -> None:
    db = open_db(Realm, Bard, Song)

    @settings(
        max_examples=60,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        changes(),
        CONDITIONS,
        ORDERS,
        st.one_of(st.none(), st.integers(0, 4)),
        st.integers(0, 2),
        st.booleans(),
    )
    def check(
        work: list[tuple[Any, ...]],
        condition: Any,
        order: list[Any],
        limit: int | None,
        offset: int,
        is_loaded: bool,
    ) -> None:
        sweep(db, Song, Bard, Realm)
        with db.session() as session:
            fill(session)

        def asked(session: Any) -> Any:
            query = session.query(Song).where(condition).order_by(*order).offset(offset)
            return query if limit is None else query.limit(limit)

        session = db.session()
        if is_loaded:
            known = session.query(Song).include(Song.bard.realm, Song.rival).all()
        for change in work:
            apply(session, change)
        pending = answers(asked(session))
        again = answers(asked(session))
        session.commit()
        session.close()
        del session
        if is_loaded:
            assert len(known) == 4
        with db.session() as fresh:
            committed = answers(asked(fresh))
        assert pending == committed
        assert again == committed

    check()
