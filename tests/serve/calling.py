"""Plain HTTP requests, byte for byte as they are given."""

from __future__ import annotations

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit


@dataclass(frozen=True)
class Told:
    """A response. error: of a refusal, in OpenAI's shape."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def error(self) -> str:
        found = self.json["error"]
        assert set(found) == {"message", "type", "param", "code"}
        return str(found["message"])


def call(url: str, method: str, path: str, body: object = None, raw: bytes | None = None, **headers: str) -> Told:
    """One request; `body` goes as JSON, `raw` as it is; headers with _ for -."""
    place = urlsplit(url)
    connection = http.client.HTTPConnection(place.hostname or "", place.port or 80, timeout=60)
    data = raw if raw is not None else None if body is None else json.dumps(body).encode()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        connection.request(method, path, data, {"Content-Type": "application/json", **given})
        answer = connection.getresponse()
        return Told(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read().decode())
    finally:
        connection.close()
