"""Work for a client, which ends when the client has gone, and as one where it is several things."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Coroutine, Sequence
from typing import Any, TypeVar

from starlette.types import Receive

from everlearn.errors import EverlearnError

T = TypeVar("T")


class Gone(EverlearnError):
    """The client closed the connection before it was answered."""


async def while_there(receive: Receive, work: Awaitable[T]) -> T:
    """What the work comes to; it is cancelled once the client has gone, and Gone raised. receive: of the request, whose body was read."""
    task, left = asyncio.ensure_future(work), asyncio.create_task(_left(receive))
    try:
        await asyncio.wait((task, left), return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise Gone("The client closed the connection before its answer was there.")
        return task.result()
    finally:
        task.cancel()
        left.cancel()
        await asyncio.gather(task, left, return_exceptions=True)


async def together(works: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What each comes to; the first that fails ends the others, and is what is raised."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in works]
    except ExceptionGroup as problems:
        raise problems.exceptions[0] from None
    return [task.result() for task in tasks]


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
