"""The frame of an async contender: one event loop in its process, one task per timed call."""

import asyncio
from abc import abstractmethod
from collections.abc import Coroutine, Sequence
from typing import Any

from bench.contenders.base import Contender
from bench.data import AuthorRow, Shelf


class AwaitedContender(Contender):
    """Each method of a contender runs the coroutine of the same name with `a_` in front."""

    @abstractmethod
    async def a_create(self) -> None: ...
    @abstractmethod
    async def a_close(self) -> None: ...
    @abstractmethod
    async def a_insert(self, rows: Sequence[AuthorRow]) -> None: ...
    @abstractmethod
    async def a_load(self) -> Sequence[Any]: ...
    @abstractmethod
    async def a_get_each(self, keys: Sequence[int]) -> Sequence[Any]: ...
    @abstractmethod
    async def a_update_all(self) -> None: ...
    @abstractmethod
    async def a_insert_books(self, shelves: Sequence[Shelf]) -> None: ...
    @abstractmethod
    async def a_load_books(self) -> Sequence[Any]: ...
    @abstractmethod
    async def a_delete_all(self) -> None: ...
    @abstractmethod
    async def a_small_each(self, keys: Sequence[int]) -> None: ...

    def run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(work)

    def create(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.run(self.a_create())

    def close(self) -> None:
        self.run(self.a_close())
        self.loop.close()

    def insert(self, rows: Sequence[AuthorRow]) -> None:
        self.run(self.a_insert(rows))

    def load(self) -> Sequence[Any]:
        found: Sequence[Any] = self.run(self.a_load())
        return found

    def get_each(self, keys: Sequence[int]) -> Sequence[Any]:
        found: Sequence[Any] = self.run(self.a_get_each(keys))
        return found

    def update_all(self) -> None:
        self.run(self.a_update_all())

    def insert_books(self, shelves: Sequence[Shelf]) -> None:
        self.run(self.a_insert_books(shelves))

    def load_books(self) -> Sequence[Any]:
        found: Sequence[Any] = self.run(self.a_load_books())
        return found

    def delete_all(self) -> None:
        self.run(self.a_delete_all())

    def small_each(self, keys: Sequence[int]) -> None:
        self.run(self.a_small_each(keys))
