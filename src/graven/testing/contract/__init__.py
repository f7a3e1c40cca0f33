"""What a suite of tests needs to be written once and run over every backend, in both colours.

A test is written in blocking style, with the fixtures of ``graven.testing.contract.fixtures``. What
it needs and a backend may lack is a *capability*, which the test names and the backend declares; a
test is run over the backends that have all that it needs.
"""

from graven.testing.contract.backends import (
    BULK,
    BYTE_ORDER,
    EXCHANGES,
    MICROSECONDS,
    ONE_WRITER,
    PLAIN,
    RAW_SQL,
    SAVEPOINTS,
    SKIPS_LOCKED,
    SURVIVES,
    TABLE_UNDO,
    TRANSACTIONS,
    WAITS,
    Backend,
    MemoryBackend,
    SQLiteBackend,
    able,
    as_kept,
)
from graven.testing.contract.outside import (
    count,
    delete,
    insert,
    link_table,
    rows,
    shape,
    sweep,
    update,
)
from graven.testing.contract.proxy import Caller, Colour, Proxy

__all__ = [
    "BULK",
    "BYTE_ORDER",
    "EXCHANGES",
    "MICROSECONDS",
    "ONE_WRITER",
    "PLAIN",
    "RAW_SQL",
    "SAVEPOINTS",
    "SKIPS_LOCKED",
    "SURVIVES",
    "TABLE_UNDO",
    "TRANSACTIONS",
    "WAITS",
    "Backend",
    "Caller",
    "Colour",
    "MemoryBackend",
    "Proxy",
    "SQLiteBackend",
    "able",
    "as_kept",
    "count",
    "delete",
    "insert",
    "link_table",
    "rows",
    "shape",
    "sweep",
    "update",
]
