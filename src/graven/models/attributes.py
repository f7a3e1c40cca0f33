"""What happens at an attribute of an object besides reading and writing a slot."""

from __future__ import annotations

from graven._hints import Any
from graven.errors import UsageError

__all__ = ["ReferenceKey", "expose_keys", "refuse_deletion"]


def refuse_deletion(self: Any, name: str) -> None:
    """Refuse ``del obj.field`` of a stored object; other attributes go as on any object.

    Only objects without changes look: on the others Python deletes the value itself, and the
    commit refuses an object that lacks one.

    :raises UsageError: if *name* is a field.
    """
    mapper = type(self)._mapper
    if name not in mapper.field_index:
        mapper.model.__delattr__(self, name)
        return
    raise UsageError(
        f"cannot delete {mapper.name}.{name} of {mapper.name} {mapper.key_of(self)!r}: an object "
        "has a value for each of its fields. Nothing was changed. Set it to None if it may be "
        "None, empty the list, or delete the whole object with session.delete."
    )


class ReferenceKey:
    """``book.author_id``, the key that ``book.author`` refers to, and ``Book.author_id``.

    On an object it is the key, of several fields a tuple, ``None`` if there is none yet; reading
    it never loads anything. On the class it is a query field.
    """

    __slots__ = ("_reference",)

    def __init__(self, reference: str) -> None:
        """Stand for the key of the *reference* of that name."""
        self._reference = reference

    def __get__(self, instance: Any, owner: Any) -> Any:
        """Return the key, or the query field."""
        field = owner._mapper.field(self._reference)
        if instance is not None:
            return field.key_in(instance)
        from graven.models.expressions import KeyExpression

        return KeyExpression(owner._mapper, owner._mapper, field, (), ())

    def __set__(self, instance: Any, value: object) -> None:
        """Refuse: what an object refers to is set as an object.

        :raises UsageError: always.
        """
        name, reference = type(instance)._mapper.name, self._reference
        raise UsageError(
            f"cannot set {name}.{reference}_id to {value!r:.100}: it is the key of what "
            f"{name}.{reference} refers to, and is only read. Nothing was changed. Set "
            f"{reference} to the object with that key, which session.get returns."
        )


def expose_keys(model: Any, mapper: Any) -> None:
    """Give *model* the key of each of its references; what it has under that name already stays."""
    for field in mapper.references:
        name = f"{field.name}_id"
        if not any(name in base.__dict__ for base in model.__mro__):
            setattr(model, name, ReferenceKey(field.name))
