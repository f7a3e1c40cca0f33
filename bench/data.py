"""What is written and expected: the same rows for every contender, computed from the row number."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

AuthorRow = tuple[int, str, str, int, float, datetime, bool]
BookRow = tuple[int, str, int]
Shelf = tuple[AuthorRow, list[BookRow]]

BOOKS_EACH = 10
FIRST_JOINED = datetime(2024, 1, 1, 12, 0, 0, 123000)  # MongoDB keeps milliseconds


def author(number: int, aware: bool = False) -> AuthorRow:
    """The values of one author; the instant is aware (UTC) or naive, as the contender likes it."""
    joined = FIRST_JOINED + timedelta(minutes=number)
    if aware:
        joined = joined.replace(tzinfo=UTC)
    mail = f"author{number}@example.org"
    age, score = 20 + number % 60, number * 0.5
    return number, f"Author {number}", mail, age, score, joined, number % 2 == 0


def authors(count: int, aware: bool = False) -> list[AuthorRow]:
    """Authors 1 to `count`."""
    return [author(number, aware) for number in range(1, count + 1)]


def books(number: int) -> list[BookRow]:
    """The books of one author: key, title, pages."""
    first = (number - 1) * BOOKS_EACH + 1
    return [(n, f"Book {n}", 100 + n % 400) for n in range(first, first + BOOKS_EACH)]


def shelves(count: int, aware: bool = False) -> list[Shelf]:
    """Authors 1 to `count`, each with its books."""
    return [(row, books(row[0])) for row in authors(count, aware)]


def keys(rows: int, count: int) -> list[int]:
    """`count` different keys out of `rows`, in an order that is random and always the same."""
    return Random(rows).sample(range(1, rows + 1), min(rows, count))


def plain(values: tuple[Any, ...]) -> AuthorRow:
    """The same values in comparable form: exact types, a naive instant."""
    number, name, mail, age, score, joined, active = values
    if isinstance(joined, str):
        joined = datetime.fromisoformat(joined)
    if joined.tzinfo is not None:
        joined = joined.astimezone(UTC).replace(tzinfo=None)
    return number, name, mail, age, score, joined, bool(active)
