"""The plan of the smallest commit, the short way: one object has changed, nothing else is pending.

Most commits of a service are such. The long way, over :mod:`~graven.core.collect` and
:mod:`~graven.core.planner`, comes to the same plan; it takes longer than the store takes to write
the row.
"""

from __future__ import annotations

from graven.core.plan import Group, Plan, Step
from graven.core.planner import Bindings
from graven.core.unit import UnitOfWork
from graven.ops.requests import Update

__all__ = ["plan_alone"]


def plan_alone(unit: UnitOfWork, bindings: Bindings) -> Plan | None:
    """Return the plan, ``None`` where the commit has to be planned the long way.

    Plain fields only go the short way, in a model that is guarded by its version: no keys,
    references, containers or lists.

    :raises DataError: if a value does not fit its field; nothing is changed then.
    """
    if len(unit.touched) != 1 or unit.records or unit.watched or unit.flushed or unit.heads:
        return None
    ((instance, clean),) = unit.touched.items()
    mapper = unit.mapper_of(type(instance))
    found = bindings(mapper).update_alone(mapper.changed(instance, clean))
    if found is None:
        return None
    unit.settle_one(instance)
    record = unit.records[instance]
    bits, columns, guards, row_of = found
    plan = Plan()
    group = Group(mapper, "update", bits)
    group.records.append(record)
    group.versions.append(record.version)
    group.after.append(record.version + 1)
    row = row_of(instance, plan.later, record.key, record.version)
    plan.groups.append(group)
    plan.steps.append(Step(Update(mapper.table, columns, guards, (row,)), group))
    plan.is_single = True
    return plan
