"""A stand-alone server: what flows are run through, with the clock and the dice of this machine.

It changes one document at a time and has no transactions; :mod:`graven.flows.stand_alone` makes
commits whole all the same.
"""

from __future__ import annotations

from random import random
from time import time
from uuid import uuid4

from graven._hints import TypeVar
from graven.flows.stand_alone import StandAlone, no_transactions
from graven.flows.writeset_world import World
from graven.ops.requests import Flow

__all__ = ["alone", "stand_alone"]

R = TypeVar("R")


def alone(busy_timeout_s: float) -> StandAlone:
    """Return what asks a stand-alone server in the place of flows."""
    world = World(lambda: round(time() * 1000), lambda: uuid4().hex, random, busy_timeout_s)
    return StandAlone(world)


def stand_alone(flow: Flow[R], store: StandAlone) -> Flow[R]:
    """Run *flow* on a store without transactions.

    :raises UsageError: if the flow wants a transaction that outlasts it, or one to read in.
    """
    try:
        request = next(flow)
        while True:
            try:
                reply = yield from store.perform(request)
            except GeneratorExit:
                flow.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it is the flow's to judge
                request = flow.throw(error)
            else:
                request = flow.send(reply)
    except StopIteration as end:
        if store.end():
            raise no_transactions("keep a transaction open") from None
        result: R = end.value
        return result
    finally:
        store.end()
