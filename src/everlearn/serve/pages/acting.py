"""The pages that change something: a rollback, a file that is dropped, signing in and out. Each is a form, and then a look at what came of it."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress
from functools import partial
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import Response

from everlearn.errors import Busy, DataError, EverlearnError
from everlearn.serve.guard import told_to
from everlearn.serve.pages.files import STEPS, Files
from everlearn.serve.pages.forms import sent_form
from everlearn.serve.pages.history import History
from everlearn.serve.pages.looking import version_called
from everlearn.serve.pages.rendering import Pages, moved
from everlearn.serve.pages.visits import HOURS, TooManyTriesError, cookie
from everlearn.serve.uploads import SUFFIXES, plain_name
from everlearn.versions.watching import watched

PATIENCE = 10.0  # seconds that a rollback waits for the server to open the version
LOOK = 0.05
FILE_ID = re.compile(r"[0-9A-Za-z-]{1,64}")


def acting_routes(pages: Pages) -> APIRouter:
    """Rollback, files, signing in."""
    routes = APIRouter(include_in_schema=False)
    _rolling_back(routes, pages)
    _dropping(routes, pages)
    _signing(routes, pages)
    return routes


def _rolling_back(routes: APIRouter, pages: Pages) -> None:
    serving = pages.serving

    @routes.get("/versions/{name}/rollback")
    async def sure(request: Request, name: str) -> Response:
        if not request.scope["writes"]:
            return pages.problem(request, 403, "not_yours")
        history = await serving.reading.do(partial(History, serving.home, serving.pool.standing))
        found = version_called(history, name)
        if found is None or not history.can_return(found):
            return pages.problem(request, 404, "no_version") if found is None else pages.problem(request, 400, "not_served_before")
        return pages.page(request, "sure.html", v=found, head=history.head)

    @routes.post("/versions/{name}/rollback")
    async def roll_back(request: Request, name: str) -> Response:
        form = await sent_form(request, pages.visits)
        if not request.scope["writes"]:
            return pages.problem(request, 403, "not_yours")
        history = await serving.reading.do(partial(History, serving.home, serving.pool.standing))
        found, mistake = version_called(history, name), ""
        if found is None:
            mistake = "no_version"
        elif form.texts.get("head") != history.head.id:
            mistake = "head_changed"
        elif not history.can_return(found):
            mistake = "not_served_before"
        else:
            try:
                head = await serving.writing.do(partial(serving.home.rollback, found.id, only_from=history.head.id))
                mistake = "" if head.id == found.id else "head_changed"
            except Busy:
                mistake = "busy"
        if mistake or found is None:
            return pages.problem(request, {"busy": 503, "no_version": 404}.get(mistake, 400), mistake)
        for _ in range(round(PATIENCE / LOOK)):  # until it answers, so that the next page is true
            if serving.pool.standing.served.version.id == found.id:
                break
            await asyncio.sleep(LOOK)
        served = serving.pool.standing.served.version.id == found.id
        return moved(f"/versions/v{found.number}", done="rollback" if served else "opening")


def _dropping(routes: APIRouter, pages: Pages) -> None:
    serving = pages.serving

    @routes.get("/learn")
    async def learn(request: Request) -> Response:
        return await _learn(pages, request)

    @routes.post("/learn")
    async def drop(request: Request) -> Response:
        form = await sent_form(request, pages.visits)
        if "file" not in form.files:
            return await _learn(pages, request, 400, "choose_file")
        (name, data), (test_name, test) = form.files["file"], form.files.get("test", ("", b""))
        try:
            for one in filter(None, (name, test_name)):
                plain_name(one)
        except DataError:
            return await _learn(pages, request, 400, "wrong_suffix")
        try:
            id = await serving.writing.do(partial(serving.uploads.add, request.scope["caller"], name, data, test_name, test, request.scope["own"]))
        except DataError:
            return await _learn(pages, request, 400, "empty_file")
        with suppress(EverlearnError):  # tried again by itself; the page says where the file is
            await serving.writing.do(serving.uploads.hand_over)
        claim = None
        with suppress(EverlearnError):  # it was taken, whatever the look after it finds: the page of its id leads on
            claim = await serving.reading.do(partial(serving.uploads.claim, id))
        return moved(f"/learn/{id if claim is None else claim.number}")

    @routes.post("/learn/start")
    async def start(request: Request) -> Response:
        form = await sent_form(request, pages.visits)
        if not request.scope["writes"]:
            return pages.problem(request, 403, "not_yours")
        with suppress(EverlearnError):
            await serving.writing.do(serving.uploads.hand_over)
        await serving.writing.do(serving.teaching.start)
        for _ in range(round(PATIENCE / LOOK)):  # until it says that it is there, so that the next page is true
            if not serving.teaching.running or await serving.reading.do(partial(watched, serving.home)) is not None:
                break
            await asyncio.sleep(LOOK)
        back = form.texts.get("back", "")
        return moved(f"/learn/{back}" if FILE_ID.fullmatch(back) else "/learn")

    @routes.get("/learn/{id}")
    async def file(request: Request, id: str) -> Response:
        files = await serving.reading.do(partial(Files, serving.home, serving.uploads))
        filed = await serving.reading.do(partial(files.one, id))
        if filed is None:
            return pages.problem(request, 404, "no_file")
        if filed.number and id != filed.id:
            return moved(f"/learn/{filed.id}")
        about = {"watched": files.watched, "folder": pages.folder(request), **_taught(pages, request)}
        return pages.page(request, "file.html", filed=filed, steps=STEPS, **about)


async def _learn(pages: Pages, request: Request, status: int = 200, mistake: str = "") -> Response:
    serving = pages.serving
    files = await serving.reading.do(partial(Files, serving.home, serving.uploads))
    about = {"watched": watched(serving.home), "folder": pages.folder(request), "most": serving.table.most_bytes, "suffixes": ", ".join(SUFFIXES)}
    trusted = serving.uploads.trusts(request.scope["caller"], request.scope["own"])
    shown = await serving.reading.do(files.every)
    return pages.page(request, "learn.html", status, files=shown, trusted=trusted, mistake=mistake, **_taught(pages, request), **about)


def _taught(pages: Pages, request: Request) -> dict[str, str]:
    """What the process that a page started ended with, and said last."""
    teaching = pages.serving.teaching
    ended = not teaching.running
    return {"problem": told_to(request.scope, teaching.problem) if ended else "", "said": teaching.said if ended and request.scope["known"] else ""}


def _signing(routes: APIRouter, pages: Pages) -> None:
    visits = pages.visits

    @routes.get("/sign-in")
    async def sign_in(request: Request) -> Response:
        if not visits.keys or visits.name(visits.visitor(request.scope)) is not None:
            return moved("/")
        place = _ours(request.query_params.get("next", "/"))
        answer = pages.page(request, "sign_in.html", next=place, hours=HOURS, mistake="")
        if request.headers.get("sec-fetch-site") == "cross-site" and "?" not in place:
            answer.headers["Refresh"] = f"0; url={quote(place)}"  # asked by this page itself the browser sends the cookie of who signed in, if it has one
        return answer

    @routes.post("/sign-in")
    async def signed_in(request: Request) -> Response:
        form = await sent_form(request, visits)
        place = _ours(form.texts.get("next", "/"))
        try:
            visitor = visits.sign_in(form.texts.get("key", ""), request.client.host if request.client else "")
        except TooManyTriesError:
            answer: Response = pages.page(request, "sign_in.html", 429, next=place, hours=HOURS, mistake="too_many_tries")
            answer.headers["Retry-After"] = "60"
            return answer
        if visitor is None:
            return pages.page(request, "sign_in.html", 403, next=place, hours=HOURS, mistake="wrong_key")
        answer, safe = moved(place), request.headers.get("origin", "").startswith("https://")
        answer.headers.append("set-cookie", cookie(visits.cookie, visitor, secure=safe))
        return answer

    @routes.post("/sign-out")
    async def sign_out(request: Request) -> Response:
        await sent_form(request, visits)
        visits.sign_out(visits.visitor(request.scope))
        return moved("/sign-in" if visits.keys else "/")


def _ours(place: str) -> str:
    """A path of this server alone, whatever a link says.

    >>> _ours("/versions/v3"), _ours("//evil.example"), _ours("https://evil.example"), _ours("/\\\\evil")
    ('/versions/v3', '/', '/', '/')
    """
    return place if place.startswith("/") and not place.startswith("//") and "\\" not in place and place.isprintable() else "/"
