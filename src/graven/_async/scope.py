"""``AsyncScope``: the object that ``session.begin()`` and ``session.atomic()`` return."""

from __future__ import annotations

from types import TracebackType

from graven._hints import TYPE_CHECKING, Any
from graven.errors import ScopeError

if TYPE_CHECKING:
    from graven._async.session import AsyncSession
    from graven.core import scopes

__all__ = ["AsyncScope"]


class AsyncScope:
    """An open scope.

    It ends once: by :meth:`commit`, :meth:`confirm` or :meth:`cancel`, or by the end of its block.
    """

    def __init__(self, session: AsyncSession, scope: scopes.Scope, ends_with: str) -> None:
        """Stand for *scope* of *session*."""
        self._session, self._scope, self._ends_with = session, scope, ends_with

    @property
    def is_open(self) -> bool:
        """Whether the scope has not been ended yet."""
        return self._scope.is_open

    @property
    def new(self) -> list[Any]:
        """The objects that are new in this scope."""
        return [record.instance for record in self._session.unit.new_in(self._scope)]

    @property
    def dirty(self) -> list[Any]:
        """The objects that were changed in this scope."""
        self._session.unit.settle()
        return [record.instance for record in self._session.unit.dirty_in(self._scope)]

    @property
    def deleted(self) -> list[Any]:
        """The objects that were deleted in this scope."""
        return [record.instance for record in self._session.unit.deleted_in(self._scope)]

    async def commit(self) -> None:
        """Write what changed in this scope, in one transaction, and end it."""
        await self._session.commit_scope(self._scope)

    def confirm(self) -> None:
        """End the scope and fold its changes into the one around it; nothing is written."""
        self._session.unit.confirm(self._scope)

    def cancel(self) -> None:
        """End the scope and take its changes back in memory."""
        self._session.unit.cancel(self._scope)

    async def __aenter__(self) -> AsyncScope:
        """Enter the block of the scope."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the scope as it was begun, or cancel it after an exception."""
        if not self._scope.is_open:
            return
        if kind is not None:
            self._cancel_with_inner()
        elif self._ends_with == "confirm":
            self.confirm()
        else:
            try:
                await self.commit()
            except ScopeError:
                raise
            except BaseException:
                self._cancel_with_inner()
                raise

    def _cancel_with_inner(self) -> None:
        """Cancel the scope, and before it those begun inside it that were left open."""
        unit = self._session.unit
        while self._scope.children and unit.scope() is not self._scope:
            unit.cancel(unit.scope())
        self.cancel()
