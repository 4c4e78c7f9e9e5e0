"""All pages of a server, and what a browser is shown of a refusal."""

from __future__ import annotations

import json

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import Response
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everlearn.serve.guard import SIGN_IN
from everlearn.serve.pages.acting import acting_routes
from everlearn.serve.pages.forms import StrangeFormError
from everlearn.serve.pages.looking import looking_routes
from everlearn.serve.pages.rendering import Pages, moved
from everlearn.serve.pages.visits import is_page

FILES = ("style.css", "live.js", "mark.svg")
PATTERNS = (
    "/",
    "/versions",
    "/versions/{name}",
    "/versions/{name}/rollback",
    "/ask",
    "/learn",
    "/learn/{id}",
    "/memory",
    "/sign-in",
    "/sign-out",
    "/pages/{name}",
)


def page_routes(pages: Pages) -> APIRouter:
    """Every page, its style and its script."""
    routes = APIRouter(include_in_schema=False)
    routes.include_router(looking_routes(pages))
    routes.include_router(acting_routes(pages))

    @routes.get("/pages/{name}")
    async def file(request: Request, name: str) -> Response:
        return pages.file(name) if name in FILES else pages.problem(request, 404, "no_page")

    return routes


def add_pages(app: FastAPI, pages: Pages) -> None:
    """All of them, and what a form is told that is none of ours."""
    app.include_router(page_routes(pages))

    @app.exception_handler(StrangeFormError)
    async def strange(request: Request, problem: StrangeFormError) -> Response:
        return pages.problem(request, 403, "old_form")


def pattern(path: str) -> str:
    """The pattern of a page's path, to count it by; "" where no page lies.

    >>> pattern("/versions/v3/rollback"), pattern("/learn/7"), pattern("/nowhere")
    ('/versions/{name}/rollback', '/learn/{id}', '')
    """
    parts = path.split("/")
    return next((p for p in PATTERNS if len(p.split("/")) == len(parts) and all(a == b or a[:1] == "{" for a, b in zip(p.split("/"), parts, strict=True))), "")


class Readable:
    """An app whose refusals are pages for whoever reads HTML, and whose pages lead to the sign-in where that is asked for."""

    def __init__(self, app: ASGIApp, pages: Pages) -> None:
        self.app, self.pages = app, pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not (is_page(scope["path"]) or "text/html" in Headers(scope=scope).get("accept", "")):
            await self.app(scope, receive, send)
            return
        held, body = list[Message](), bytearray()

        async def sent(message: Message) -> None:
            """Hold back a refusal in JSON; everything else goes on as it is."""
            if message["type"] == "http.response.start" and message["status"] >= 400 and _is_json(message):
                held.append(message)
            elif held:
                body.extend(message.get("body", b""))
            else:
                await send(message)

        await self.app(scope, receive, sent)
        if held:
            given = {name.decode(): value.decode() for name, value in held[0]["headers"] if name.lower() == b"retry-after"}
            await self._refusal(Request(scope), held[0]["status"], bytes(body), given)(scope, receive, send)

    def _refusal(self, request: Request, status: int, body: bytes, headers: dict[str, str]) -> Response:
        if status == 401 and is_page(request.url.path):
            place = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            return moved(SIGN_IN, next=place if request.method == "GET" else "/")
        try:
            detail = str(json.loads(body)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            detail = ""
        answer = self.pages.problem(request, status, "no_page" if status == 404 else "something_else", detail)
        answer.headers.update(headers)
        return answer


def _is_json(message: Message) -> bool:
    return any(name.lower() == b"content-type" and value.startswith(b"application/json") for name, value in message.get("headers", []))
