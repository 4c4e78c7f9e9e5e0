"""`everlearn serve`: a home's versions answer over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def serve(
    home: Annotated[Path, typer.Argument(help="The home that `everlearn init` made.")],
    host: Annotated[str, typer.Option(help="The address to listen on; 0.0.0.0 is reached by other machines too, by the names in the settings.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8000,
    keys: Annotated[Path | None, typer.Option(help="A file of API keys, NAME KEY on each line; without it anyone who reaches the port may ask.")] = None,
    device: Annotated[str | None, typer.Option(help="Such as cpu or cuda:0; by default that of the settings' model table.")] = None,
) -> None:
    """Serve a home in OpenAI's routes: versions are models, `latest` is the one in service and follows promotions and rollbacks at once.

    /v1/chat/completions, /v1/completions, /v1/embeddings, /v1/models; /v1/feedback for corrections, /v1/documents for what answers are to know at
    once; /health and /metrics; pages for a browser at /. The serve table of everlearn.toml sets limits, batching and the canary. Ctrl-C ends it after the
    answers under way.
    """
    from everlearn.serve.running import prepared
    from everlearn.versions.home import Home

    opened = Home(home)
    server, listening = prepared(opened, host, port, keys, device)
    head, at = opened.head, listening.getsockname()[1]
    place = f"http://{f'[{host}]' if ':' in host else host}:{at}"
    typer.echo(f"Version {head.number} ({head.id}) of {home} answers at {place}/v1; pages are at {place}. Ctrl-C stops.")
    if keys is None and host not in ("127.0.0.1", "localhost", "::1"):
        typer.echo("Anyone who reaches this port may ask, and send feedback and files: there are no --keys.", err=True)
    server.run(sockets=[listening])
