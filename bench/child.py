"""One contender in a process of its own, driven by lines of JSON.

`python -m bench.child NAME DIRECTORY`. A process each keeps settings, loops and garbage of the
contenders apart, and still lets them take turns.
"""

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

from bench import contenders
from bench.store import Store
from bench.workloads import RUNS, Stand, applies


def open_stand(name: str, directory: str) -> Stand:
    """Make the contender's file, its tables and its connection."""
    path = str(Path(directory, f"{name}.db"))
    os.environ["BENCH_DB"] = path
    contender = contenders.load(name)(path)
    contender.create()
    return Stand(contender, Store(path))


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


def main(name: str, directory: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not look like an answer
    try:
        stand = open_stand(name, directory)
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
