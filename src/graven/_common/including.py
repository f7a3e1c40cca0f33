"""Which references and lists are to be loaded, as a tree of what was asked for."""

from __future__ import annotations

from collections.abc import Iterable

from graven._hints import Any
from graven.core.query import Include
from graven.errors import QueryError
from graven.models.expressions import FieldExpression, KeyExpression

__all__ = ["stranger", "with_includes"]


def with_includes(
    mapper: Any, includes: tuple[Include, ...], fields: Iterable[Any], attempted: str
) -> tuple[Include, ...]:
    """Return *includes* with the references and lists that *fields* name, and what leads to them.

    :raises QueryError: if one of them is neither, or is not a field of the model.
    """
    for expression in fields:
        leads_on = isinstance(expression, FieldExpression) and hasattr(expression._field, "target")
        if not leads_on or isinstance(expression, KeyExpression):
            raise QueryError(
                f"cannot {attempted} {expression!r:.100}: only references and lists of models are "
                "loaded with other objects, and all else is always there. Name one as in "
                "Receipt.source.",
                model=mapper.name,
            )
        if expression._owner.root is not mapper.root:
            raise stranger(mapper, repr(expression), attempted)
        includes = _grown(includes, (*expression._parents, expression._field))
    return includes


def stranger(mapper: Any, name: str, attempted: str) -> QueryError:
    """Make the error for a field of another model."""
    return QueryError(
        f"cannot {attempted} {name} here: it is a field of another model than {mapper.name}. Use "
        "the model's own fields, and follow its references to those of others, as in "
        "Receipt.source.owner.",
        model=mapper.name,
    )


def _grown(includes: tuple[Include, ...], chain: tuple[Any, ...]) -> tuple[Include, ...]:
    field, rest = chain[0], chain[1:]
    for index, one in enumerate(includes):
        if one.field is field:
            inner = _grown(one.inner, rest) if rest else one.inner
            return (*includes[:index], Include(field, inner), *includes[index + 1 :])
    return (*includes, Include(field, _grown((), rest) if rest else ()))
