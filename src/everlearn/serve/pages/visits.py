"""Who looks at the pages: a cookie for each browser, a token in each form, and where there are keys a sign-in that ends by itself."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Mapping
from http.cookies import SimpleCookie
from pathlib import Path

from starlette.requests import cookie_parser
from starlette.types import Scope

from everlearn.serve.guard import Rates, hashed_key

HOURS = 12  # that a sign-in lasts
MOST = 1000  # sign-ins at once; the oldest goes first
TRIES = 10  # wrong keys a minute, from one address
VISITOR = re.compile(r"[A-Za-z0-9_-]{43}")
FOLDERS = ("versions", "ask", "learn", "memory", "sign-in", "sign-out", "pages")  # where pages lie
OPEN = ("sign-in", "pages")  # those that need no sign-in: the form itself, style and script


def is_page(path: str) -> bool:
    """Does a page lie there?

    >>> is_page("/"), is_page("/versions/v3"), is_page("/v1/models")
    (True, True, False)
    """
    return path == "/" or path.partition("/")[2].partition("/")[0] in FOLDERS


class Visits:
    """Browsers by their cookies: one for who signed in, which only a sign-in sets, and one for the forms of who did not.

    A form's token is a keyed hash of the cookie, so a page of another site, which cannot read it, cannot send a form. The second one is sent with a link
    of another site too (SameSite=Lax), so that what follows such a link is not given a new one, and open forms keep theirs.

    Nothing of it is on disk: a server that starts again knows nobody. keys: names by the keys' SHA-256; none for no sign-in.
    """

    def __init__(self, folder: Path, keys: Mapping[bytes, str]) -> None:
        self.keys, self.tries = keys, Rates(TRIES)
        place = hashlib.sha256(str(folder.resolve()).encode(errors="surrogateescape")).hexdigest()
        self.cookie = f"everlearn-{place[:8]}"  # two homes on one machine do not share it
        self.forms = f"{self.cookie}-forms"
        self._secret = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()  # by the hash of the cookie: the key's name, and until when (monotonic)

    def visitor(self, scope: Scope) -> str:
        """The cookie that a sign-in gave this browser; "" where it has none of ours."""
        return self._cookie(scope, self.cookie)

    def browser(self, scope: Scope) -> str:
        """What this browser's forms are known by: its sign-in, else the cookie for forms; "" where it has neither."""
        visitor = self.visitor(scope)
        return visitor if self.name(visitor) is not None else self._cookie(scope, self.forms)

    def caller(self, scope: Scope) -> str | None:
        """Who asks for a page without a key in a header: the key's name by which they signed in, "" for what needs no sign-in, None for nobody known.

        What is no page is never answered so: a cookie is sent by whatever page a browser shows, a header is not.
        """
        if not is_page(scope["path"]):
            return None
        name = self.name(self.visitor(scope))
        return name if name is not None else "" if scope["path"].partition("/")[2].partition("/")[0] in OPEN else None

    def name(self, visitor: str) -> str | None:
        """The name of the key that this browser signed in with."""
        name, until = self._known.get(_hash(visitor), ("", 0.0))
        return name if name and time.monotonic() < until else None

    def sign_in(self, key: str, address: str) -> str | None:
        """The cookie of one who has this key, None for a wrong one. Raises TooManyTriesError after many of them from one address, such as a proxy's,
        behind which a right one still signs in.
        """
        now, given, found = time.monotonic(), hashed_key(key.strip()), ""
        for known, name in self.keys.items():
            if hmac.compare_digest(known, given):
                found = name
        if not found:
            if self.tries.wait(address, now):
                raise TooManyTriesError
            return None
        visitor = secrets.token_urlsafe(32)
        self._known[_hash(visitor)] = (found, now + 3600 * HOURS)
        while len(self._known) > MOST:
            self._known.popitem(last=False)
        return visitor

    def sign_out(self, visitor: str) -> None:
        self._known.pop(_hash(visitor), None)

    def token(self, browser: str) -> str:
        """What a form of this browser carries."""
        return hmac.new(self._secret, browser.encode(), hashlib.sha256).hexdigest()

    def is_from(self, browser: str, token: str) -> bool:
        """Was the form made for this browser?"""
        return bool(browser) and hmac.compare_digest(self.token(browser).encode(), token.encode(errors="surrogatepass"))

    @staticmethod
    def _cookie(scope: Scope, called: str) -> str:
        given = next((cookie_parser(value.decode("latin-1")) for name, value in scope["headers"] if name == b"cookie"), {}).get(called, "")
        return given if VISITOR.fullmatch(given) else ""


class TooManyTriesError(Exception):
    """Too many wrong keys from one address."""


def cookie(name: str, value: str, seconds: int | None = None, secure: bool = False, same: str = "Strict") -> str:
    """A Set-Cookie header's value: for this site alone, and no script's.

    seconds: it is kept, None until the browser closes.   secure: only over TLS.   same: "Strict", or "Lax" to be sent with links of other sites too.
    """
    made = SimpleCookie()
    made[name] = value
    made[name] |= {"path": "/", "httponly": True, "samesite": same}
    if seconds is not None:
        made[name]["max-age"] = seconds
    if secure:
        made[name]["secure"] = True
    return made.output(header="").strip()


def _hash(visitor: str) -> bytes:
    return hashlib.sha256(visitor.encode()).digest()
