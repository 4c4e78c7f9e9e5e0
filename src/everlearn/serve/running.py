"""A server on a port: `everlearn serve`, and the same inside a program or a test."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from everlearn.errors import MissingExtra, SettingError
from everlearn.serve.canary import Trial
from everlearn.serve.guard import LOCAL, Limits, hashed_key
from everlearn.versions.home import Home

if TYPE_CHECKING:
    import uvicorn

GRACE = 30  # seconds that answers under way have to end in
BACKLOG = 2048  # connections that may wait to be taken
IDLE = 75  # seconds an unused connection stays open: longer than clients keep theirs, so that none is closed as it is used again
NEEDED = ("fastapi", "jinja2", "python_multipart", "uvicorn")  # by the names they are imported by
SHORTEST = 16  # characters of a key


def read_keys(path: Path) -> dict[bytes, str]:
    """The keys of a file, one a line: a name and a key. Raises SettingError with the line of one that cannot be used."""
    found: dict[bytes, str] = {}
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as problem:
        raise SettingError(f"the keys cannot be read (file={str(path)!r}): {problem}. Give a file with a name and a key on each line.") from problem
    for number, line in enumerate(lines, 1):
        words = line.split()
        if words and not words[0].startswith("#"):
            if len(words) != 2 or len(words[1]) < SHORTEST or words[0] in found.values():
                raise SettingError(f"{path}:{number} is no name and key. Write NAME KEY, each name once, keys of at least {SHORTEST} characters.")
            found[hashed_key(words[1])] = words[0]
    if not found:
        raise SettingError(f"there is no key in the file (file={str(path)!r}). Write NAME KEY on a line, or leave --keys out.")
    return found


def prepared(home: Home, host: str, port: int, keys: Path | None, device: str | None) -> tuple[uvicorn.Server, socket.socket]:
    """A server that only has to run, and the socket it listens on. Raises SettingError for a port that is taken, MissingExtra without the extra `serve`."""
    if any(find_spec(name) is None for name in NEEDED):
        raise MissingExtra(f"the server needs {', '.join(NEEDED)}, and not all are installed. Run pip install 'everlearn[serve]'.")
    import uvicorn

    from everlearn.serve.app import make_app
    from everlearn.serve.pool import Pool
    from everlearn.serve.serving import Serving

    table, known = home.settings.serve, read_keys(keys) if keys is not None else {}
    listening = _bound(host, port)
    try:
        trial = Trial(table.canary_share, table.canary_answers, table.canary_worse)
        serving = Serving(Pool(home, table.versions, device, trial), table)
    except BaseException:
        listening.close()
        raise
    names = [*table.hosts, *([] if host in ("0.0.0.0", "::") else [host])]
    own = not known and host in LOCAL
    app = make_app(serving, Limits(names, table.origins, known, table.most_bytes, table.rate, table.writers, own))
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        ws="none",
        timeout_graceful_shutdown=GRACE,
        timeout_keep_alive=IDLE,
    )
    return uvicorn.Server(config), listening


def run(home: Home, host: str = LOCAL[1], port: int = 8000, keys: Path | None = None, device: str | None = None) -> None:
    """Serve until Ctrl-C or SIGTERM; answers under way are given to their end first."""
    server, listening = prepared(home, host, port, keys, device)
    server.run(sockets=[listening])


@contextmanager
def served(home: Home, host: str = LOCAL[1], port: int = 0, keys: Path | None = None, device: str | None = None) -> Iterator[str]:
    """A server in a thread of this program, and its address; port 0 takes a free one."""
    server, listening = prepared(home, host, port, keys, device)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="everlearn-http", daemon=True)
    thread.start()
    try:
        while not server.started and thread.is_alive():
            time.sleep(0.01)
        shown = f"[{host}]" if ":" in host else host
        yield f"http://{shown}:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


def _bound(host: str, port: int) -> socket.socket:
    # asyncio sends small packets at once (TCP_NODELAY) only where the protocol is named; without it an answer waits 40 ms for the client's acknowledgement.
    found = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(BACKLOG)  # whoever comes before the server runs waits for it
    except OSError as problem:
        found.close()
        raise SettingError(f"the address cannot be listened on (host={host!r}, port={port}): {problem.strerror or problem}. Give another --port.") from problem
    return found
