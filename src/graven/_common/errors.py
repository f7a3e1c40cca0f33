"""Say which object an error of the store is about."""

from __future__ import annotations

from graven._hints import Any
from graven.core.lifecycle import DELETED
from graven.core.plan import Plan
from graven.errors import DataError, GravenError, IntegrityError
from graven.models.checks import refuse, unstorable

__all__ = ["name_culprit"]


def name_culprit(error: GravenError, plan: Plan) -> GravenError:
    """Return the error with the model and key of the object it is about, if that can be told."""
    if isinstance(error, DataError) and error.model is None:
        return _unstorable(plan) or error
    if isinstance(error, IntegrityError) and error.model is None:
        written = [one for one in plan.records() if one.mapper.table.name == error.table]
        if len(written) == 1:
            error.model = written[0].mapper.name
            error.key = written[0].mapper.key_of(written[0].instance)
    return error


def _unstorable(plan: Plan) -> DataError | None:
    """Find the value that the driver could not take.

    Nothing else looks at the size of every number.
    """
    for record in plan.records():
        for field in record.mapper.fields:
            if field.form != "scalar" or record.state == DELETED:
                continue
            value = field.capture(record.instance)
            why = "" if value is None else _why(field, value)
            if why:
                key = record.mapper.key_of(record.instance)
                expected = getattr(field.type.python, "__name__", "")
                return refuse(record.mapper.name, key, field.name, value, expected, why)
    return None


def _why(field: Any, value: Any) -> str:
    return unstorable(field.type.limited_kind, value) if type(value) is field.type.python else ""
