"""The model in Django's ORM. Django reads its settings first, so the path is in `BENCH_DB`."""

import os

import django
from django.conf import settings

settings.configure(
    INSTALLED_APPS=[],
    USE_TZ=False,
    DEBUG=False,
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": os.environ["BENCH_DB"],
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "init_command": "pragma journal_mode = wal; pragma synchronous = normal",
            },
        }
    },
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


def connect(path: str) -> None:
    """Open the file named in `BENCH_DB`; foreign keys are Django's default."""
    connection.ensure_connection()
