"""What one commit writes, as a value: groups of records, a step for each statement."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from graven._hints import Any
from graven.core.lifecycle import DELETED, INSERTED
from graven.core.mapper import Mapper
from graven.core.records import ObjectRecord
from graven.errors import UsageError
from graven.ops.requests import Later, Sweep, Update, Write

__all__ = ["Group", "Groups", "Plan", "Step", "Wanted", "wanted"]

Wanted = tuple[str, int, int]
"""What is to be written of a record: the action, the fields as bits, the version expected."""


class Group:
    """Records of one class of which the same is written, side by side.

    ``action`` is ``"insert"``, ``"update"`` of the fields in ``bits``, ``"delete"``, or ``"keep"``
    of what the open transaction holds already. For each of ``records``, ``versions`` has the one
    that the store must still have, ``after`` the one that it will have. ``images`` has the captured
    images that are written, where later edits have to be told from them; ``ordinals`` number the
    inserts whose keys the store makes.
    """

    __slots__ = ("action", "after", "bits", "images", "mapper", "ordinals", "records", "versions")

    def __init__(self, mapper: Mapper, action: str, bits: int) -> None:
        """Plan *action* for no record yet."""
        self.mapper, self.action, self.bits = mapper, action, bits
        self.records: list[ObjectRecord] = []
        self.versions: list[int] = []
        self.after: list[int] = []
        self.images: Sequence[tuple[Any, ...]] = ()
        self.ordinals: Sequence[int] = ()

    @property
    def objects(self) -> list[Any]:
        """The objects of the records."""
        return [record.instance for record in self.records]

    def part(self, chosen: Iterable[int]) -> Group:
        """Return a group of the records at these places only."""
        part = Group(self.mapper, self.action, self.bits)
        places = list(chosen)
        part.records = [self.records[at] for at in places]
        part.versions = [self.versions[at] for at in places]
        part.after = [self.after[at] for at in places]
        part.ordinals = [self.ordinals[at] for at in places] if self.ordinals else ()
        return part


class Groups:
    """Puts what is to be written side by side: a group for each class, action and set of fields."""

    def __init__(self) -> None:
        """Start with nothing."""
        self._groups: dict[tuple[Mapper, str, int], Group] = {}

    def group(self, mapper: Mapper, action: str, bits: int = 0) -> Group:
        """Return the group to put records into."""
        shape = mapper, action, bits
        found = self._groups.get(shape)
        if found is None:
            found = self._groups[shape] = Group(mapper, action, bits)
        return found

    def put(self, record: ObjectRecord, write: Wanted) -> None:
        """Put *record* into its group."""
        action, bits, version = write
        group = self.group(record.mapper, action, bits)
        group.records.append(record)
        group.versions.append(version)

    def whole(self) -> list[Group]:
        """Return all groups."""
        return list(self._groups.values())


class Step:
    """One write, and the records that its rows come from, in order; a write of links has none.

    ``lost`` says what it means if rows of a write without records are not as expected.
    """

    __slots__ = ("group", "lost", "write")

    def __init__(self, write: Write | Sweep, group: Group | None = None, lost: str = "") -> None:
        """Join the three."""
        self.write = write
        self.group = group
        self.lost = lost


class Plan:
    """All that one commit writes, as a value that can be printed and compared before it runs."""

    __slots__ = ("groups", "has_later", "is_single", "ordinals", "steps")

    def __init__(self) -> None:
        """Start with nothing.

        ``is_single`` says that the plan is one row that needs no transaction: only its write can
        refuse it.
        """
        self.steps: list[Step] = []
        self.groups: list[Group] = []
        self.ordinals: dict[Any, int] = {}
        self.has_later = False
        self.is_single = False

    def records(self) -> Iterator[ObjectRecord]:
        """Yield the record of each object that is written."""
        for group in self.groups:
            yield from group.records

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
    def is_blind(self) -> bool:
        """Whether versions that it makes have to be read before anybody makes others."""
        return any(isinstance(one.write, Update) and one.write.is_blind for one in self.steps)

    def writes(self) -> list[Write | Sweep]:
        """Return the statements, in order."""
        return [step.write for step in self.steps]


def wanted(record: ObjectRecord, bits: int) -> Wanted | None:
    """Say what has to be written so that the store has the record as it is wanted.

    The action, the fields, and the version that the store must still have; ``None`` for nothing.
    *bits* are the fields to be written of a record that is changed.
    """
    stored = record.stored
    exists = stored.exists if stored is not None else record.clean is not None
    version = stored.version if stored is not None else record.version
    if record.state in (DELETED, None):
        return ("delete", 0, version) if exists else None
    if not exists:
        return ("insert", 0, version) if record.state == INSERTED or stored else None
    if stored is not None and stored.image is not None:
        bits = record.mapper.changed(record.instance, stored.image)
    return ("update", bits, version) if bits else None
