"""One contender in a process of its own, driven by lines of JSON.

`python -m bench.child MODULE PLACE`; the place is a file, or the URL of a database. A process each
keeps settings, loops and garbage of the contenders apart, and still lets them take turns.
"""

import json
import os
import sys
import traceback
from typing import Any, TextIO

from bench import contenders
from bench.store import SqliteStore, Store
from bench.workloads import RUNS, Stand, applies


def open_stand(module: str, place: str) -> Stand:
    """Make the contender's tables and its connection."""
    os.environ["BENCH_DB"] = place
    contender = contenders.load(module)(place)
    contender.create()
    return Stand(contender, open_store(place))


def open_store(place: str) -> Store:
    """The raw driver's view of that place; a driver is imported where it is used alone."""
    if "://" not in place:
        return SqliteStore(place)
    if place.startswith("mongodb"):
        from bench.store_mongodb import MongodbStore

        return MongodbStore(place)
    from bench.store_postgresql import PostgresqlStore

    return PostgresqlStore(place)


def run(stand: Stand, workload: str, rows: int) -> dict[str, Any]:
    """One sample, or none where the contender has no answer."""
    if not applies(stand.contender, workload):
        return {"value": None}
    return {"value": RUNS[workload](stand, rows)}


def safely(work: Any, *args: Any) -> dict[str, Any]:
    """The answer of `work`, or what went wrong."""
    try:
        answer: dict[str, Any] = work(*args)
        return answer
    except Exception as error:
        traceback.print_exc()
        return {"error": f"{type(error).__name__}: {error}"[:500]}


def serve(stand: Stand, answers: TextIO) -> None:
    """Answer one request a line until the input ends."""
    for line in sys.stdin:
        request = json.loads(line)
        answer = safely(run, stand, request["workload"], request["rows"])
        print(json.dumps(answer), file=answers, flush=True)


def main(module: str, place: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    try:
        stand = open_stand(module, place)
    except Exception as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
        return
    print(json.dumps({"value": None}), file=answers, flush=True)
    serve(stand, answers)
    stand.store.close()
    stand.contender.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
