"""DBOS over SQLite: a workflow of one step, which writes by `sqlite3`; in W11 alone."""

from collections.abc import Callable, Sequence
from typing import Any

from dbos import DBOS

from bench.contenders import raw
from bench.contenders.base import Contender
from bench.models.dbos import launch
from bench.workloads import RUNS

OTHERS = frozenset(RUNS) - {"W11"}


class Workflows(Contender):
    """Comes before the contender whose data it works on."""

    operations_max = 200
    skips = OTHERS
    birthday_text: str

    def create(self) -> None:
        super().create()
        self.birthday = workflow(self._write)
        launch(self.path)

    def close(self) -> None:
        DBOS.destroy()
        super().close()

    def _write(self, key: int) -> None:
        connection: Any = self.connection  # type: ignore[attr-defined]
        connection.execute(self.birthday_text, (key,))

    def operate_each(self, arguments: Sequence[Any]) -> None:
        birthday = self.birthday
        for key in arguments:
            birthday(key)


def workflow(write: Callable[[int], None]) -> Callable[[int], int]:
    """Make a workflow of one step that calls *write*."""

    @DBOS.step()
    def have_birthday(key: int) -> int:
        write(key)
        return key

    @DBOS.workflow()
    def birthday(key: int) -> int:
        return have_birthday(key)

    return birthday


class Entry(Workflows, raw.Entry):
    birthday_text = raw.BIRTHDAY
