"""What a recovery has done, to be printed."""

from __future__ import annotations

from collections import Counter

from graven.core import operating
from graven.ops.value import Value

__all__ = [
    "DONE",
    "FAILED",
    "LOST",
    "PARKED",
    "QUARANTINED",
    "RETRIED",
    "RecoveryReport",
    "of_undoing",
    "report",
    "with_write_sets",
]

#: It was committed.
DONE = "done"
#: It has ended as failed, with what it had done undone.
FAILED = "failed"
#: It failed, and is to be tried again later.
RETRIED = "retried"
#: It failed too often, or cannot be run any more, and waits for a person.
QUARANTINED = "quarantined"
#: This program does not know it; another one may.
PARKED = "parked"
#: Somebody else has taken it over.
LOST = "lost"


class RecoveryReport(Value):
    """How many interrupted operations were finished, and what became of the others.

    ``failed`` ones were undone, ``retried`` ones failed and are tried again later, ``quarantined``
    ones wait for a person, ``parked`` ones are not known here, and ``lost`` ones were taken over by
    somebody else meanwhile. On a stand-alone MongoDB server ``write_sets_finished`` and
    ``write_sets_undone`` count interrupted commits of several documents.
    """

    finished: int = 0
    failed: int = 0
    retried: int = 0
    quarantined: int = 0
    parked: int = 0
    lost: int = 0
    seconds: float = 0.0
    write_sets_finished: int = 0
    write_sets_undone: int = 0

    @property
    def total(self) -> int:
        """How many operations were looked at."""
        return (
            self.finished + self.failed + self.retried + self.quarantined + self.parked + self.lost
        )

    def __str__(self) -> str:
        others = [
            f"{count} {name}"
            for name in ("failed", "retried", "quarantined", "parked", "lost")
            if (count := getattr(self, name))
        ]
        what = ", ".join([f"{self.finished} finished", *others])
        sets = self.write_sets_finished, self.write_sets_undone
        commits = "; commits: {} finished, {} undone".format(*sets) if any(sets) else ""
        return f"recovered {self.total} operations in {self.seconds:.2f} s: {what}{commits}"


def report(outcomes: Counter[str], seconds: float) -> RecoveryReport:
    """Return the report of counted outcomes."""
    return RecoveryReport(
        outcomes[DONE],
        outcomes[FAILED],
        outcomes[RETRIED],
        outcomes[QUARANTINED],
        outcomes[PARKED],
        outcomes[LOST],
        seconds,
    )


def with_write_sets(found: RecoveryReport, finished: int, undone: int) -> RecoveryReport:
    """Return the report *found* with what became of interrupted write sets."""
    fields = {name: getattr(found, name) for name in RecoveryReport._fields}
    counts = {"write_sets_finished": finished, "write_sets_undone": undone}
    return RecoveryReport(**{**fields, **counts})


def of_undoing(state: str) -> str:
    """Return the outcome of undoing steps that has led to *state*."""
    others = {operating.COMPENSATING: RETRIED, operating.QUARANTINED: QUARANTINED}
    return others.get(state, FAILED)
