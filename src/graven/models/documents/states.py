"""Bring the state of an object up to the present version of its class."""

from __future__ import annotations

from typing import Any

from graven.errors import DataError
from graven.models.documents.faults import malformed

__all__ = ["present_state"]


def present_state(plan: Any, state: dict[str, Any]) -> dict[str, Any]:
    """Return *state* as the present version of the class writes it; it is not changed itself.

    :raises DataError: if a later version has written it.
    """
    version = state.get("__version__", 1)
    if type(version) is not int or version < 1:
        raise malformed(version, f"a version of {plan.name}, which count from 1")
    if version > plan.version:
        raise DataError(
            f"cannot restore a document: found a {plan.name} of version {version}, and here it has "
            f"version {plan.version}. A later version of the program has written it. Read it with "
            "that one.",
            model=plan.name,
            value=version,
            expected=f"version {plan.version} or less",
        )
    marks = {name: one for name, one in state.items() if name.startswith("__")}
    fields = {name: one for name, one in state.items() if name not in marks}
    for former in range(version, plan.version):
        fields = plan.upcasters[former](fields)
        if type(fields) is not dict:
            raise malformed(fields, f"the fields that upcaster {former} of {plan.name} returns")
    return {**marks, **fields}
