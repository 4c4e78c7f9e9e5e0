"""A page made: the language chosen, the layout filled, the headers that keep it to itself."""

from __future__ import annotations

from importlib.resources import files
from secrets import token_urlsafe
from urllib.parse import urlencode

from fastapi import Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from everlearn.serve.guard import HERE, follows_link
from everlearn.serve.pages.sentences import Sentence, sentence
from everlearn.serve.pages.visits import Visits, cookie
from everlearn.serve.pages.words import LANGUAGES, WORDS
from everlearn.serve.serving import Serving
from everlearn.version import VERSION

LANGUAGE = "everlearn-language"  # the cookie
YEAR = 365 * 24 * 3600
NAV = (("/", "overview"), ("/versions", "versions"), ("/ask", "ask"), ("/learn", "learn"), ("/memory", "memory"))
GUARDED = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self';"
    " base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # without any a browser sends forms as from nowhere
    "Cache-Control": "no-store",
}
KINDS = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}


class Say:
    """The words in one language: say("since", time="...") is markup, with what is filled in escaped."""

    def __init__(self, language: str) -> None:
        self.language, self._at = language, list(LANGUAGES).index(language)

    def __call__(self, key: str, **given: object) -> Markup:
        return Markup(WORDS[key][self._at]).format(**{name: escape(value) for name, value in given.items()})

    def sentence(self, text: str) -> Sentence:
        return sentence(text, self.language)


def language_of(request: Request) -> str:
    """As the address says, else as it said before, else what the browser prefers."""
    for given in (request.query_params.get("lang"), request.cookies.get(LANGUAGE)):
        if given is not None and given in LANGUAGES:
            return given
    return preferred(request.headers.get("accept-language", ""))


def preferred(accepted: str) -> str:
    """Of our languages the one that an Accept-Language header likes best.

    >>> preferred("zh-CN,zh;q=0.9,en;q=0.8"), preferred("de, en;q=0.7, zh;q=0.3"), preferred("*"), preferred("zh;q=0"), preferred("zh;q=x")
    ('zh', 'en', 'en', 'en', 'en')
    """
    best, liked = "en", 0.0
    for part in accepted.split(",")[:20]:
        name, _, weight = part.partition(";")
        language = name.strip().lower().partition("-")[0]
        try:
            value = float(weight.partition("=")[2]) if weight.strip() else 1.0
        except ValueError:
            value = 0.0
        if language in LANGUAGES and value > liked:
            best, liked = language, value
    return best


class Pages:
    """What all pages are made with."""

    def __init__(self, serving: Serving, visits: Visits) -> None:
        self.serving, self.visits = serving, visits
        self.templates = Environment(
            autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=StrictUndefined, loader=PackageLoader("everlearn.serve", "pages")
        )
        self.templates.filters |= {"day": day, "clock": clock, "percent": percent, "signed": signed, "bytes": size}

    def folder(self, request: Request) -> str:
        """The home as a command names it; only the owner of the machine is told where it lies."""
        return str(self.serving.home.folder) if request.scope.get("own") else "HOME"

    def page(self, request: Request, template: str, status: int = 200, /, **given: object) -> HTMLResponse:
        """The page in the reader's language."""
        say, browser = Say(language_of(request)), self.visits.browser(request.scope)
        begun = browser or token_urlsafe(32)
        inside = bool(request.scope.get("admitted")) and (not self.visits.keys or bool(request.scope.get("caller")))
        text = self.templates.get_template(template).render(
            say=say,
            lang=say.language,
            languages=[(code, name, self._in(request, code)) for code, name in LANGUAGES.items()],
            nav=NAV,
            place="/" + request.url.path.split("/")[1],
            inside=inside,
            may=bool(request.scope.get("writes")),
            home=self.serving.home.folder.resolve().name if inside else "everlearn",
            who=self.visits.name(browser),
            token=self.visits.token(begun),
            version=VERSION,
            **given,
        )
        answer = HTMLResponse(text, status, headers={**GUARDED, "Vary": "Accept-Language, Cookie", "Content-Language": say.language})
        if not browser and (request.headers.get("sec-fetch-site", "none") in HERE or follows_link(request.scope)):  # else it may have one that was not sent
            answer.headers.append("set-cookie", cookie(self.visits.forms, begun, same="Lax"))
        if request.query_params.get("lang") in LANGUAGES:
            answer.headers.append("set-cookie", cookie(LANGUAGE, say.language, YEAR))
        return answer

    def problem(self, request: Request, status: int, key: str, detail: str = "") -> HTMLResponse:
        """What could not be done. key: of the words that say why.   detail: more of it, in English."""
        title = f"problem_{status}" if f"problem_{status}" in WORDS else "problem_500" if status >= 500 else "problem_400"
        return self.page(request, "problem.html", status, title=title, key=key, detail=detail)

    def file(self, name: str) -> Response:
        """The stylesheet, the script, the mark."""
        data = files("everlearn.serve").joinpath("pages", name).read_bytes()
        kept = {**GUARDED, "Cache-Control": "no-cache"}
        return Response(data, media_type=KINDS[name.rpartition(".")[2]], headers=kept)

    def _in(self, request: Request, language: str) -> str:
        """The same page in another language; where a form was sent to is no page, so that leads to the overview."""
        path = "/" + request.url.path.lstrip("/") if request.method in ("GET", "HEAD") else "/"
        return f"{path}?{urlencode([*((k, v) for k, v in request.query_params.multi_items() if k != 'lang'), ('lang', language)])}"


def moved(place: str, **query: str) -> Response:
    """Look there: what follows a form that was sent."""
    return RedirectResponse(f"{place}?{urlencode(query)}" if query else place, 303, headers={"Cache-Control": "no-store"})


def day(time: str) -> str:
    return time[:10]


def clock(time: str) -> str:
    """A time as it is read.

    >>> clock("2026-01-02T03:04:05+00:00")
    '2026-01-02 03:04'
    """
    return time[:16].replace("T", " ")


def percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"


def signed(value: float) -> str:
    """A difference in points.

    >>> signed(0.125), signed(-0.02), signed(0.0)
    ('+12.5', '−2.0', '0.0')
    """
    text = f"{100 * value:.1f}".replace("-", "−")
    return "0.0" if text in ("0.0", "−0.0") else text if value < 0 else f"+{text}"


def size(count: int) -> str:
    """Bytes in powers of a thousand.

    >>> size(1500), size(1_000_000)
    ('1.5 kB', '1.0 MB')
    """
    return f"{count / 1000:.1f} kB" if count < 1_000_000 else f"{count / 1_000_000:.1f} MB"
