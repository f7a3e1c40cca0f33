"""A process that recovers as if so many seconds had passed.

``python -m tests.crash.recoverer URL LATER_S``.
"""

from __future__ import annotations

import sys

from graven import Database
from graven.testing import VirtualClock
from tests.crash import operations

__all__ = ["operations"]


def main(url: str, later_s: float) -> None:
    with Database(url, busy_timeout_s=20) as db, VirtualClock() as clock:
        clock.advance(later_s)
        db.recover()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
