"""Who may call, from where, how much and how often: looked at before any route."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everlearn.serve.refusals import refusal

LOCAL = ("localhost", "127.0.0.1", "::1")
OPEN = ("/health",)  # needs no key: load balancers have none; what they are told names no file
SIGN_IN = "/sign-in"
HERE = ("same-origin", "none")  # of Sec-Fetch-Site: a page of ours, or nobody's, such as an address that was typed
FORWARDED = ("forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto")  # headers that proxies add
MOST_CALLERS = 10_000  # whose rate is remembered


@dataclass(frozen=True, slots=True)
class Limits:
    """hosts: names the server is reached by, besides those of this machine.   origins: pages of other sites that may call.   keys: names by the keys'
    SHA-256; none for no keys.   most_bytes: of a body.   rate: requests a minute, 0 for no limit.   writers: patterns of the names that may write and
    delete documents, roll back and start learning.   own: only this machine reaches it, and it has no keys, so whoever calls without a proxy is its owner.
    """

    hosts: Sequence[str] = ()
    origins: Sequence[str] = ()
    keys: Mapping[bytes, str] = field(default_factory=dict)
    most_bytes: int = 1_000_000
    rate: int = 0
    writers: Sequence[str] = ()
    own: bool = False

    def writes(self, name: str, own: bool = False) -> bool:
        """May this caller, by the key's name or "" for none, change what others are told? Without a list only the owner of the machine may. own: it is."""
        return any(fnmatchcase(name, pattern) for pattern in self.writers) if self.writers else own


class Rates:
    """How many requests each caller may still send: as many as `rate` at once, refilled evenly over a minute."""

    def __init__(self, rate: int) -> None:
        self.rate = rate
        self._left: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def wait(self, caller: str, now: float) -> float:
        """Take one; 0, or the seconds until there is one."""
        left, at = self._left.pop(caller, (float(self.rate), now))
        left = min(float(self.rate), left + (now - at) * self.rate / 60)
        self._left[caller] = (left - 1 if left >= 1 else left, now)
        while len(self._left) > MOST_CALLERS:
            self._left.popitem(last=False)
        return 0.0 if left >= 1 else (1 - left) * 60 / self.rate


class Guard:
    """An ASGI app around another that turns away what its `Limits` do not allow.

    visitor: whose a request without a key is, by who signed in on a page; "" for what anyone may see, None for nobody.
    """

    def __init__(self, app: ASGIApp, limits: Limits, visitor: Callable[[Scope], str | None] = lambda scope: None) -> None:
        self.app, self.limits, self.rates, self.visitor = app, limits, Rates(limits.rate), visitor
        self.hosts = {*LOCAL, *(host.lower() for host in limits.hosts)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        scope["caller"], scope["own"], scope["admitted"], scope["known"], scope["writes"] = "", False, False, False, False
        answer = self._refusal(scope)
        if answer is not None:
            await answer(scope, receive, send)
            return
        await _Counted(self.app, self.limits.most_bytes)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name(host) not in self.hosts:
            return refusal(
                421, f"This server is not called so (host={host[:80]!r}). Name the host in [serve] hosts of everlearn.toml to reach it by that name."
            )
        origin = headers.get("origin")
        if origin is not None and origin.partition("://")[2] != host and origin not in self.limits.origins:
            return refusal(403, f"Pages of this origin may not call here (origin={origin[:80]!r}). [serve] origins of everlearn.toml names those that may.")
        if self._from_elsewhere(scope, headers):
            return refusal(
                403,
                f"Pages of other sites may not call here (Sec-Fetch-Site={headers['sec-fetch-site'][:20]!r}). Open the address itself, or name the page's"
                " origin in [serve] origins of everlearn.toml.",
            )
        scope["admitted"], scope["own"] = True, self.limits.own and not _forwarded(scope, headers)
        if self.limits.keys:
            name = self._key_name(headers.get("authorization", ""))
            name = self.visitor(scope) if name is None else name
            if name is None and scope["path"] not in OPEN:
                return refusal(
                    401, "This server needs a key that it knows: Authorization: Bearer KEY.", "invalid_api_key", headers={"WWW-Authenticate": "Bearer"}
                )
            scope["caller"] = name or ""
        scope["known"] = scope["own"] or bool(scope["caller"])
        scope["writes"] = self.limits.writes(scope["caller"], scope["own"])
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.limits.most_bytes:
            return _too_large(self.limits.most_bytes)
        if self.limits.rate and scope["path"] not in OPEN:
            client = scope.get("client")
            wait = self.rates.wait(scope["caller"] or (client[0] if client else ""), time.monotonic())
            if wait:
                told = f"More than {self.limits.rate} requests a minute. Try again in {wait:.0f} seconds."
                return refusal(429, told, "rate_limit_exceeded", headers={"Retry-After": str(max(1, round(wait)))})
        return None

    def _from_elsewhere(self, scope: Scope, headers: Headers) -> bool:
        """Does a browser say that a page of another site, or of another port here, asks? Its link to a page may be followed where it asks nothing,
        and so may the way from there to the sign-in, which the browser counts to the link.

        Programs, and browsers from before 2023, do not send the header (https://www.w3.org/TR/fetch-metadata/); these are told by Origin and Host alone.
        """
        if headers.get("sec-fetch-site", "none") in HERE or headers.get("origin") in self.limits.origins:
            return False
        query = scope["query_string"]
        asks = bool(query) and not (scope["path"] == SIGN_IN and query.startswith(b"next=") and b"&" not in query)
        return asks or not follows_link(scope)

    def _key_name(self, given: str) -> str | None:
        """Whose key it is; the time it takes says nothing about how much of it is right."""
        scheme, _, key = given.partition(" ")
        hashed, found = hashed_key(key.strip()), None
        for known, name in self.limits.keys.items():
            if hmac.compare_digest(known, hashed):
                found = name
        return found if scheme.lower() == "bearer" else None


class _Counted:
    """The app, whose body may not grow beyond a size, whatever its headers say."""

    def __init__(self, app: ASGIApp, most: int) -> None:
        self.app, self.most = app, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        read = 0

        async def counted() -> Message:
            nonlocal read
            message = await receive()
            read += len(message.get("body", b""))
            if read > self.most:
                raise _TooLargeError
            return message

        async def sent(message: Message) -> None:
            if read <= self.most:
                await send(message)

        with suppress(_TooLargeError):
            await self.app(scope, counted, sent)
        if read > self.most:  # whatever the app made of a body that broke off
            await _too_large(self.most)(scope, receive, send)


class _TooLargeError(Exception):
    """A body that is longer than it may be."""


def follows_link(scope: Scope) -> bool:
    """Does a browser say that it is to show what is asked for, and nothing is sent?"""
    return bool(scope["method"] == "GET" and Headers(scope=scope).get("sec-fetch-mode") == "navigate")


def told_to(scope: Scope, problem: str) -> str:
    """What is wrong, as far as this caller may know: it may name files."""
    return problem if not problem or scope["known"] else "A key is needed to be told what is wrong: it may name files."


def hashed_key(key: str) -> bytes:
    """A key as it is compared: all are equally long so."""
    return hashlib.sha256(key.encode(errors="surrogateescape")).digest()


def _name(host: str) -> str:
    """The host without its port.

    >>> _name("localhost:8000"), _name("[::1]:8000"), _name("a@b.c:80")
    ('localhost', '::1', '')
    """
    if any(mark in host for mark in "@/\\ "):
        return ""
    inner = host[1:].partition("]")[0] if host.startswith("[") else host.partition(":")[0]
    return inner.lower().rstrip(".")


def _forwarded(scope: Scope, headers: Headers) -> bool:
    """Did it come through a proxy, so that its caller may be on any machine? By its headers, or HTTP/1.0, which nginx speaks where it adds none."""
    return scope["http_version"] == "1.0" or any(name in headers for name in FORWARDED)


def _too_large(most: int) -> Response:
    return refusal(413, f"The request's body is larger than {most} bytes, or does not say how large it is. [serve] most_bytes of everlearn.toml is the limit.")
