"""Processes that work on a stand-alone server until they die, by their own hand or another's.

``python -m tests.mongo.alone_worker die URL COUNT`` lets *COUNT* children, numbered from 1, commit
three objects each at the same time; a child kills itself after the statement of its number. A line
for each says how it ended. ``… work URL COLOUR NAME SEED`` makes transfers, and writes a line for
each one that was committed.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from itertools import count

from graven import AsyncDatabase, Database
from tests.crash.worker import ACCOUNTS, Account, acknowledge, move

PATIENT_S = 20


def die(url: str, children: str) -> None:
    may_begin, begin = os.pipe()
    are_ready, ready = os.pipe()
    pids = []
    for number in range(1, int(children) + 1):
        if not (pid := os.fork()):
            os.close(begin)
            commit_until(url, number, ready, may_begin)
            os._exit(0)
        pids.append(pid)
    for _ in pids:
        os.read(are_ready, 1)
    os.close(begin)  # they may
    for pid in pids:
        print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))


def commit_until(url: str, number: int, ready: int, may_begin: int) -> None:
    """Change two accounts and insert what tells of it, until statement *number* is through."""
    done = count(1)

    def after_each(*_: object) -> None:
        if next(done) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    with Database(url) as db, db.session() as session:
        source, target = session.get(Account, 2 * number), session.get(Account, 2 * number + 1)
        assert source is not None
        assert target is not None
        move(session, source, target, f"transfer {number}", 30)
        os.write(ready, b".")
        os.read(may_begin, 1)
        db.on_statement(after_each)
        session.commit()


def transfers(name: str, seed: int):  # type: ignore[no-untyped-def]
    dice = random.Random(seed)
    for number in count():
        first, second = dice.sample(range(ACCOUNTS), 2)
        yield f"{name}-{number}", first, second, dice.randint(1, 9)


def work(url: str, name: str, seed: int) -> None:
    with Database(url, busy_timeout_s=PATIENT_S) as db:
        for told, first, second, amount in transfers(name, seed):
            for attempt in db.attempts(limit=None, isolation="optimistic"):
                with attempt as session:
                    source, target = session.get(Account, first), session.get(Account, second)
                    assert source is not None
                    assert target is not None
                    move(session, source, target, told, amount)
            acknowledge(told)


async def work_async(url: str, name: str, seed: int) -> None:
    async with AsyncDatabase(url, busy_timeout_s=PATIENT_S) as db:
        for told, first, second, amount in transfers(name, seed):
            async for attempt in db.attempts(limit=None, isolation="optimistic"):
                async with attempt as session:
                    source = await session.get_one(Account, first)
                    target = await session.get_one(Account, second)
                    move(session, source, target, told, amount)
            acknowledge(told)


def main(what: str, url: str, *rest: str) -> None:
    if what == "die":
        die(url, *rest)
    elif rest[0] == "async":
        asyncio.run(work_async(url, rest[1], int(rest[2])))
    else:
        work(url, rest[1], int(rest[2]))


if __name__ == "__main__":
    main(*sys.argv[1:])
