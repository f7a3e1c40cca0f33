"""DBOS over PostgreSQL: a workflow of one step, which writes by psycopg; in W11 alone."""

from bench.contenders import psycopg
from bench.contenders.dbos import Workflows


class Entry(Workflows, psycopg.Entry):
    birthday_text = psycopg.BIRTHDAY
