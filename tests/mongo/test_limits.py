"""What MongoDB cannot take is refused before anything is written, and the session goes on."""

from __future__ import annotations

from typing import Any

import pytest

from graven import DataError, Model, key
from graven.testing.contract import count
from graven.testing.contract.proxy import Colour

LARGE = b"x" * (17 * 1024 * 1024)


class Picture(Model):
    id: int = key()
    pixels: bytes = b""


@pytest.fixture
def db(url: str, colour: Colour) -> Any:
    db = colour.open(url)
    db.create(Picture)
    with db.session() as session:
        session.add(Picture(id=1))
    return db


@pytest.mark.parametrize("others", [0, 2], ids=["alone", "among others"])
@pytest.mark.parametrize("how", ["insert", "update"])
def test_a_document_of_more_than_16_mb_is_refused(db: Any, how: str, others: int) -> None:
    with db.session() as session:
        picture = session.get(Picture, 1)
        session.add(*[Picture(id=10 + n) for n in range(others)])
        if how == "insert":
            picture = Picture(id=2)
            session.add(picture)
        picture.pixels = LARGE
        with pytest.raises(DataError, match="16 MB"):
            session.commit()
        assert count(db, Picture) == 1
        picture.pixels = b"small"
        session.commit()
    assert count(db, Picture) == 1 + others + (how == "insert")


def test_many_documents_that_are_large_together_are_written_in_one_commit(db: Any) -> None:
    with db.session() as session:
        session.add(*[Picture(id=10 + n, pixels=LARGE[: 5 * 1024 * 1024]) for n in range(12)])
    assert count(db, Picture) == 13
