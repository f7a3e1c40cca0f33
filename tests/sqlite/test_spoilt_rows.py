"""A column of SQLite holds whatever somebody else puts into it, of any type."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from graven import DataError
from graven.testing.contract.suite.test_models_values import Sample


@pytest.mark.parametrize(("field", "stored"), [("instant", "yesterday"), ("price", "dear")])
def test_a_row_that_something_else_has_spoilt_is_told_from_a_bug(
    open_db: Callable[..., Any], field: str, stored: str
) -> None:
    db = open_db(Sample)
    with db.session() as session:
        good, bad = Sample(number=1), Sample(number=2)
        session.add(good, bad)
    db.execute(f"update sample set {field} = ? where number = 2", [stored])
    with db.session() as session:
        with pytest.raises(DataError, match="other than graven has written") as caught:
            session.query(Sample).all()
        assert caught.value.model == "Sample"
        with pytest.raises(DataError, match="cannot read a row of table 'sample'"):
            session.get(Sample, bad.id)
        assert session.get(Sample, good.id).number == 1
