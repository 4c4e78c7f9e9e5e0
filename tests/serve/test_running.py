"""What a server's socket is like."""

from __future__ import annotations

import socket

from everlearn.serve.running import _bound


def test_small_packets_are_sent_at_once() -> None:
    """asyncio turns Nagle's algorithm off where the protocol is TCP by name; with it on, every answer waits for a delayed acknowledgement (40 ms)."""
    with _bound("127.0.0.1", 0) as listening:
        assert listening.proto == socket.IPPROTO_TCP
        with socket.create_connection(listening.getsockname()):
            taken, _ = listening.accept()
            with taken:
                assert taken.proto == socket.IPPROTO_TCP
