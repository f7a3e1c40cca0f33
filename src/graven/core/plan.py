"""What one commit writes, as a value: an entry for each record, a step for each statement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from graven.core.lifecycle import DELETED, INSERTED
from graven.core.records import ObjectRecord
from graven.errors import UsageError
from graven.ops.requests import Delete, Later, Sweep, Write

__all__ = ["Entry", "Plan", "Step", "actions_for"]


class Entry:
    """What is written of one record: an insert, an update of the fields in *bits*, or a delete.

    ``version`` is the one that the store must still have, ``after`` the one it will have. ``image``
    is the captured image that is written, where later edits have to be told from it; ``made_key``
    tells that the store makes the key, for the insert numbered ``ordinal``.
    """

    __slots__ = ("__dict__", "action", "after", "bits", "record", "version")
    image: tuple[Any, ...] | None = None
    made_key = False
    ordinal = -1

    def __init__(self, record: ObjectRecord, action: str, bits: int, version: int) -> None:
        """Plan *action* for *record*."""
        self.record, self.action, self.bits, self.version = record, action, bits, version
        self.after = version + 1


class Step:
    """One write, and the entries its rows come from, in order; a write of links has none."""

    __slots__ = ("entries", "write")

    def __init__(self, write: Write | Sweep, entries: Sequence[Entry]) -> None:
        """Join the two."""
        self.write = write
        self.entries = entries


class Plan:
    """All that one commit writes, as a value that can be printed and compared before it runs."""

    __slots__ = ("entries", "has_later", "ordinals", "steps")

    def __init__(self) -> None:
        """Start with nothing."""
        self.steps: list[Step] = []
        self.entries: list[Entry] = []
        self.ordinals: dict[Any, int] = {}
        self.has_later = False

    def later(self, instance: Any) -> Later:
        """Return what stands for the key that the store will make for *instance*."""
        ordinal = self.ordinals.get(instance)
        if ordinal is None:
            raise UsageError(
                f"cannot write a reference to {instance!r:.200}: the store makes its key, and this "
                "commit does not store it. Usually it is a draft, or belongs to another session; "
                "add it here, or commit it first. Nothing was written."
            )
        self.has_later = True
        return Later(ordinal)

    @property
    def is_single(self) -> bool:
        """Whether the plan is one row that needs no transaction: only its write can refuse it."""
        if len(self.steps) != 1:
            return False
        write = self.steps[0].write
        if isinstance(write, Sweep) or len(write.rows) != 1 or len(self.entries) != 1:
            return False
        if isinstance(write, Delete):
            return not self.entries[0].record.mapper.root.referrers
        referring = {name for reference in write.table.references for name in reference.columns}
        return referring.isdisjoint(write.columns)

    def writes(self) -> list[Write | Sweep]:
        """Return the statements, in order."""
        return [step.write for step in self.steps]


def actions_for(record: ObjectRecord, bits: int) -> Entry | None:
    """Say what has to be written so that the store has the record as it is wanted.

    ``None`` for nothing.

    *bits* are the fields to be written of a record that is changed.
    """
    stored = record.stored
    exists = stored.exists if stored is not None else record.clean is not None
    version = stored.version if stored is not None else record.version
    if record.state in (DELETED, None):
        return Entry(record, "delete", 0, version) if exists else None
    if not exists:
        return Entry(record, "insert", 0, version) if record.state == INSERTED or stored else None
    if stored is not None and stored.image is not None:
        bits = record.mapper.changed(record.instance, stored.image)
    return Entry(record, "update", bits, version) if bits else None
