"""The model in Django's ORM. Django reads its settings first, so the place is in `BENCH_DB`."""

import os
from urllib.parse import parse_qs, urlsplit

import django
from django.conf import settings


def _database(place: str) -> dict:
    if "://" in place:
        parts = urlsplit(place)
        return {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": parts.path[1:],
            "USER": parts.username,
            "HOST": parse_qs(parts.query)["host"][0],
        }
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": place,
        "OPTIONS": {
            "transaction_mode": "IMMEDIATE",
            "init_command": "pragma journal_mode = wal; pragma synchronous = normal",
        },
    }


settings.configure(
    INSTALLED_APPS=[],
    USE_TZ=False,
    TIME_ZONE="UTC",
    DEBUG=False,
    DATABASES={"default": _database(os.environ["BENCH_DB"])},
)
django.setup()

from django.db import connection, models  # noqa: E402  (settings come first)


class Author(models.Model):
    id = models.IntegerField(primary_key=True)
    name = models.TextField()
    email = models.TextField()
    age = models.IntegerField()
    score = models.FloatField()
    joined = models.DateTimeField()
    active = models.BooleanField()

    class Meta:
        app_label = "bench"
        db_table = "author"


class Book(models.Model):
    id = models.IntegerField(primary_key=True)
    title = models.TextField()
    pages = models.IntegerField()
    author = models.ForeignKey(Author, on_delete=models.CASCADE, db_index=False)

    class Meta:
        app_label = "bench"
        db_table = "book"


def connect(place: str) -> None:
    """Open the store named in `BENCH_DB`; foreign keys are Django's default."""
    connection.ensure_connection()
