"""The fields of a model, by form: how each is captured, restored, and compared.

A scalar lives in one slot. The other forms have two: the value, which is set at first access, and
what it was made of, the *raw* form: the key of a reference, the text of a document, the tuple of
members of a list.
"""

from __future__ import annotations

from collections.abc import Callable

from graven._hints import Any
from graven.core.values import ABSENT, same
from graven.errors import DataError, MappingError
from graven.models.declarations import Declaration
from graven.models.types import FieldType
from graven.ops.schema import Column, Table

__all__ = [
    "DocumentField",
    "LinksField",
    "ListField",
    "ModelField",
    "ReferenceField",
    "ScalarField",
]


class Unfit:
    """Stands for a value that cannot be captured, because it does not fit its field.

    It is the same as no stored value: the field counts as changed, and the commit refuses it.
    """

    __slots__ = ("value",)

    def __init__(self, value: object) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Unfit) and other.value is self.value

    def __hash__(self) -> int:
        return id(self.value)


NO_VALUE = Unfit(ABSENT)  #: stands for the value of a scalar that was deleted


class ModelField:
    """What all fields have: a name, a form, the declaration, the slots, and the columns."""

    form = ""
    watched = False

    def __init__(self, owner: str, name: str, kind: FieldType, said: Declaration) -> None:
        self.owner = owner
        self.name = name
        self.type = kind
        self.said = said
        self.nullable = kind.nullable
        self.column_values: tuple[Column, ...] = ()
        self.value: Any = None
        self.raw: Any = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that hold the field."""
        return tuple(column.name for column in self.column_values)

    def bind(self, model: type[Any]) -> None:
        """Find the slots of the field in the class."""
        for cls in model.__mro__:
            if self.name in cls.__dict__:
                self.value = cls.__dict__[self.name]
                self.raw = cls.__dict__.get(f"_raw_{self.name}")
                return

    def loaded(self, instance: Any) -> Any:
        """Return the value if it is loaded, otherwise ``ABSENT``."""
        try:
            return self.value.__get__(instance)
        except AttributeError:
            return ABSENT

    def capture(self, instance: Any) -> object:
        """Return the captured form of the current value."""
        raise NotImplementedError

    def settle(self, instance: Any) -> None:
        """Make the current value the raw one; a scalar has no other form."""

    def renew(self, instance: Any, raw: Any) -> None:
        """Take the raw form that was read anew; a value made of the old one is dropped."""
        self.raw.__set__(instance, raw)
        self.unload(instance)

    def unload(self, instance: Any) -> None:
        """Drop the loaded value, so that the next access makes it of the raw form again."""
        if self.loaded(instance) is not ABSENT:
            self.value.__delete__(instance)

    def _column(self, name: str, kind: str, nullable: bool) -> Column:
        return Column(
            name,
            kind,
            nullable,
            self.said.unique,
            self.said.index,
            self.type.choices,
            self.said.renamed_from,
        )


class ScalarField(ModelField):
    """A single value in a single column."""

    form = "scalar"

    def __init__(self, owner: str, name: str, kind: FieldType, said: Declaration) -> None:
        super().__init__(owner, name, kind, said)
        self.column_values = (self._column(name, kind.stored_kind, kind.nullable),)

    def capture(self, instance: Any) -> object:
        """Return the value; where there is none, what the commit refuses."""
        value = self.loaded(instance)
        return NO_VALUE if value is ABSENT else value

    def restore(self, instance: Any, captured: object) -> None:
        """Set the value."""
        if captured is NO_VALUE:
            self.unload(instance)
        else:
            self.value.__set__(instance, captured)

    def renew(self, instance: Any, raw: Any) -> None:
        """Set the value."""
        self.value.__set__(instance, raw)

    def shown(self, captured: object) -> object:
        """Return what stands for the captured value in messages and conflicts."""
        return captured


class ReferenceField(ModelField):
    """Another object, stored as its key.

    It is captured as the key of the clean value, or as the object itself where another one was set.
    """

    form = "reference"
    target: Any
    is_owner = False

    def resolve(self, target: Any) -> None:
        """Take the *target* mapper and make the columns like its key's."""
        self.target = target
        key, said = target.key_columns, self.said
        endings = ["id"] if len(key) == 1 else [one.name for one in key]
        is_plain = len(key) == 1
        self.column_values = tuple(
            Column(
                f"{self.name}_{ending}",
                column.kind,
                self.nullable,
                said.unique and is_plain,
                said.index and is_plain,
                renamed_from=tuple(f"{old}_{ending}" for old in said.renamed_from),
            )
            for ending, column in zip(endings, key, strict=True)
        )

    def key_in(self, instance: Any) -> Any:
        """Return the key that the field refers to now, ``None`` if there is none (yet)."""
        value = self.loaded(instance)
        if value is ABSENT:
            return self.raw.__get__(instance)
        return self.target.key_of(value) if isinstance(value, self.type.target) else None

    def key_shown(self, instance: Any) -> Any:
        """Return the key for a person to see, ``None`` also for what is only half made."""
        try:
            return self.key_in(instance)
        except AttributeError:
            return None

    def capture(self, instance: Any) -> object:
        """Return the raw key if the field still means it, otherwise what was set."""
        value = self.loaded(instance)
        raw = self.raw.__get__(instance)
        if value is ABSENT:
            return raw
        if value is None or not isinstance(value, self.type.target):
            return value
        key = self.target.key_of(value)
        return raw if key is not None and same(key, raw) else value

    def restore(self, instance: Any, captured: object) -> None:
        """Refer to the captured object, or to the one with the raw key."""
        if captured is None or isinstance(captured, self.type.target):
            self.value.__set__(instance, captured)
        else:
            self.raw.__set__(instance, captured)
            self.unload(instance)

    def settle(self, instance: Any) -> None:
        """Make the current key the raw one."""
        value = self.loaded(instance)
        if value is not ABSENT:
            self.raw.__set__(instance, None if value is None else self.target.key_of(value))

    def shown(self, captured: object) -> object:
        """Return the key."""
        return self.target.key_of(captured) if isinstance(captured, self.type.target) else captured


class DocumentField(ModelField):
    """A container or an embedded value, stored as JSON text that keeps the types annotated."""

    form = "document"
    watched = True

    def __init__(self, owner: str, name: str, kind: FieldType, said: Declaration) -> None:
        """Make the field and its column; the codec is made at first use."""
        super().__init__(owner, name, kind, said)
        self.column_values = (self._column(name, kind.stored_kind, kind.nullable),)
        self._encode: Callable[[Any], bytes] | None = None
        self._decode: Callable[[str], Any] | None = None

    def _codec(self) -> tuple[Callable[[Any], bytes], Callable[[str], Any]]:
        if self._encode is None or self._decode is None:
            from msgspec.json import Decoder, Encoder

            self._encode = Encoder().encode
            self._decode = Decoder(self.type.annotation).decode
        return self._encode, self._decode

    def check_annotation(self) -> None:
        """See that there is a codec for the annotation, or raise ``MappingError``."""
        try:
            self._codec()
        except TypeError as error:
            raise MappingError(
                f"cannot store {self.owner}.{self.name}: a value annotated {self.type.annotation} "
                f"could not be told apart when it is read ({error}). Annotate it more closely.",
                model=self.owner,
                field=self.name,
            ) from error

    def decode(self, text: str | None) -> Any:
        """Make the value of its text."""
        return None if text is None else self._codec()[1](text)

    def encode(self, instance: Any, value: Any) -> str | None:
        """Make the text of a value.

        :raises DataError: if the value does not fit the annotation or would not come back the same.
        """
        if value is None and self.nullable:
            return None
        encode, decode = self._codec()
        try:
            text = encode(value).decode()
            back = decode(text)
        except (TypeError, ValueError, RecursionError, OverflowError) as error:
            raise self._refused(instance, value, str(error)) from error
        if not same(back, value):
            raise self._refused(instance, value, f"It would come back as {back!r:.80}.")
        return text

    def _refused(self, instance: Any, value: Any, why: str) -> Exception:
        expected = getattr(self.type.annotation, "__name__", None) or str(self.type.annotation)
        if "recursion" in why:
            why = "It contains itself, or is nested too deeply."
        from graven.models.checks import refuse

        why += "" if why.endswith(".") else "."
        return refuse(self.owner, _key_of(instance), self.name, value, str(expected), why)

    def load(self, instance: Any) -> Any:
        """Make the value of the raw text and keep it."""
        value = self.decode(self.raw.__get__(instance))
        self.value.__set__(instance, value)
        return value

    def capture(self, instance: Any) -> object:
        """Return the text of the current value.

        The raw text if the value is not loaded or means the same.
        """
        raw = self.raw.__get__(instance)
        value = self.loaded(instance)
        if value is ABSENT:
            return raw
        try:
            text = self.encode(instance, value)
        except DataError:
            return Unfit(value)
        if text != raw and raw is not None and text is not None and same(self.decode(raw), value):
            return raw
        return text

    def restore(self, instance: Any, captured: Any) -> None:
        """Make the value of the captured text."""
        if isinstance(captured, Unfit):
            self.value.__set__(instance, captured.value)
        elif captured == self.raw.__get__(instance):
            self.unload(instance)
        else:
            self.value.__set__(instance, self.decode(captured))

    def settle(self, instance: Any) -> None:
        """Make the current text the raw one."""
        self.raw.__set__(instance, self.capture(instance))

    def shown(self, captured: Any) -> object:
        """Return the value."""
        return captured.value if isinstance(captured, Unfit) else self.decode(captured)


class ListField(ModelField):
    """A list of models: children that belong to the object."""

    form = "owned"
    watched = True
    target: Any
    inverse: ReferenceField

    def resolve(self, target: Any) -> None:
        """Take the *target* mapper and find the children's reference to this object."""
        self.target = target
        self.inverse = target.field(self.said.inverse)

    def capture(self, instance: Any) -> object:
        """Return the members as a tuple.

        The raw tuple if the list is not loaded or has the same members.
        """
        value = self.loaded(instance)
        raw = self.raw.__get__(instance)
        if value is ABSENT:
            return raw
        if not isinstance(value, list):
            return Unfit(value)
        members = tuple(value)
        same_members = raw is not None and [id(one) for one in raw] == [id(one) for one in members]
        return raw if same_members else members

    def restore(self, instance: Any, captured: Any) -> None:
        """Put the captured members into the list."""
        if captured is None:
            self.unload(instance)
        else:
            value = captured.value if isinstance(captured, Unfit) else list(captured)
            self.value.__set__(instance, value)

    def settle(self, instance: Any) -> None:
        """Make the current members the raw ones."""
        self.raw.__set__(instance, self.capture(instance))

    def shown(self, captured: Any) -> object:
        """Return the keys of the members."""
        if captured is None or isinstance(captured, Unfit):
            return captured and captured.value
        return [
            self.target.key_of(one) if isinstance(one, self.type.target) else one
            for one in captured
        ]

    def belongs(self, member: Any, owner: Any) -> bool:
        """Say whether a child refers to *owner*, as far as is known without loading anything."""
        value = self.inverse.loaded(member)
        if value is not ABSENT:
            return value is owner
        key = self.inverse.raw.__get__(member)
        return key is not None and bool(key == _key_of(owner))

    def refuse(self, instance: Any, value: object) -> DataError:
        """Make the error for a list that is none, or a member that is of another class."""
        from graven.models.checks import refuse

        expected = f"a list of {self.type.target.__name__}"
        return refuse(self.owner, _key_of(instance), self.name, value, expected)


class LinksField(ListField):
    """A list of models that exist by themselves, joined through a table of pairs of keys."""

    form = "links"
    link_table: Table
    owner_columns: tuple[str, ...]
    member_columns: tuple[str, ...]

    def resolve(self, target: Any) -> None:
        """Take the *target* mapper."""
        self.target = target


def _key_of(instance: Any) -> object:
    return type(instance)._mapper.key_of(instance)
