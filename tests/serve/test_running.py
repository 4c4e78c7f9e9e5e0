"""What a server's socket is like."""

from __future__ import annotations

import asyncio
import socket

from everlearn.serve.running import _bound


def test_small_packets_are_sent_at_once() -> None:
    """asyncio turns Nagle's algorithm off where the protocol is TCP by name; with it on, every answer waits for a delayed acknowledgement (40 ms)."""

    async def accepted() -> int:
        found = asyncio.get_running_loop().create_future()

        def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            found.set_result(writer.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()

        listening = _bound("127.0.0.1", 0)
        async with await asyncio.start_server(taken, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            value = int(await found)
            writer.close()
            return value

    assert asyncio.run(accepted()) != 0
