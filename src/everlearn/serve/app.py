"""The whole HTTP application over one home."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from everlearn.errors import DataError
from everlearn.memory.passages import Found, Passage
from everlearn.memory.reading import passage_of
from everlearn.serve.answers import answer_routes
from everlearn.serve.bodies import DocumentBody, DocumentsBody, FeedbackBody
from everlearn.serve.correcting import check_taught, corrected
from everlearn.serve.guard import Guard, Limits, told_to
from everlearn.serve.pages.rendering import Pages
from everlearn.serve.pages.routes import Readable, add_pages, pattern
from everlearn.serve.pages.visits import Visits
from everlearn.serve.refusals import Forbidden, Unknown, add_refusals, tell_refusals
from everlearn.serve.serving import Serving, needs_lancedb
from everlearn.types import Example
from everlearn.version import VERSION
from everlearn.versions.record import Version


def make_app(serving: Serving, limits: Limits) -> ASGIApp:
    """The application, guarded; it closes `serving` when it shuts down."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(serving.close)

    app = FastAPI(title="everlearn", version=VERSION, lifespan=lifespan, docs_url=None, redoc_url=None, description="A home's versions, in OpenAI's routes.")
    app.include_router(answer_routes(serving))
    app.include_router(_about(serving))
    app.include_router(_taking(serving))
    pages = Pages(serving, Visits(serving.home.folder, limits.keys))
    add_pages(app, pages)
    add_refusals(app)
    tell_refusals(app)
    guarded: ASGIApp = Guard(app, limits, pages.visits.caller)
    if limits.origins:  # their browsers ask before they call, without a key
        methods, headers = ("GET", "POST", "DELETE"), ("Authorization", "Content-Type")
        guarded = CORSMiddleware(guarded, allow_origins=limits.origins, allow_methods=methods, allow_headers=headers)
    return _Metered(Readable(guarded, pages), app, serving)


def _about(serving: Serving) -> APIRouter:
    """What is served, and how it does."""
    routes = APIRouter()

    @routes.get("/v1/models", summary="The versions that can be asked")
    async def models() -> Response:
        usable = await serving.reading.do(serving.usable)
        return JSONResponse({"object": "list", "data": [_model("latest", serving.pool.standing.served.version), *(_model(f"v{v.number}", v) for v in usable)]})

    @routes.get("/v1/models/{name}", summary="One version")
    async def model(name: str) -> Response:
        known = {f"v{version.number}": version for version in await serving.reading.do(serving.usable)} | {"latest": serving.pool.standing.served.version}
        if name not in known:
            raise Unknown(f"there is no such model (model={name[:64]!r}). Name 'latest', or a version that /v1/models lists.")
        return JSONResponse(_model(name, known[name]))

    @routes.get("/health", summary="Is it well, and which version answers")
    async def health(request: Request) -> Response:
        standing, problem = (
            serving.pool.standing,
            serving.pool.problem or serving.feedback.problem or ("" if serving.engine.alive else "nothing answers any more; start the server again"),
        )
        told = {"status": "degraded" if problem else "ok", "version": standing.served.name, "id": standing.served.version.id}
        trial = {"trial": standing.trial.name} if standing.trial is not None else {}
        return JSONResponse({**told, **trial, **({"problem": told_to(request.scope, problem)} if problem else {})})

    @routes.get("/metrics", summary="Counts, for Prometheus")
    async def metrics() -> Response:
        return PlainTextResponse(serving.meters.text(_gauges(serving)), media_type="text/plain; version=0.0.4; charset=utf-8")

    return routes


def _taking(serving: Serving) -> APIRouter:
    """What clients bring: documents, and feedback."""
    routes = APIRouter()

    @routes.post("/v1/feedback", summary="Correct an answer, tell which one was taken, or rate it")
    async def feedback(body: FeedbackBody, request: Request) -> Response:
        given = None if body.id is None else serving.given(body.id)
        bad = body.rating == "bad" or (body.correction is not None and body.rating is None)
        example = corrected(body, None if given is None else given.question, _source(request))
        if example is not None:
            await serving.call(partial(check_taught, serving.pool.standing.served, example))
        trusted = example is not None and await serving.writing.do(partial(serving.feedback.add, example))
        if given is not None and bad and not given.judged:  # an answer is bad once, however often it is said
            given.judged = True
            serving.pool.judge(given.version, bad=1)
        if example is None:
            return JSONResponse({"object": "feedback", "example": None, "became": "counted"})
        return JSONResponse({"object": "feedback", "example": example.id, "became": "to_learn" if trusted else "to_approve"})

    @routes.post("/v1/documents", summary="Take documents in; answers know them at once")
    async def documents(body: DocumentsBody, request: Request) -> Response:
        needs_writer(request)
        needs_lancedb()
        passages = [_passage(one) for one in body.documents]
        told = await serving.writing.do(partial(serving.documents.add, passages))
        return JSONResponse({"object": "documents", "ids": [passage.id for passage in passages], "new": told.new, "changed": told.changed, "known": told.known})

    @routes.get("/v1/documents", summary="Search the documents, as they hold now or held at a date")
    async def search(query: str, k: int = 5, as_of: str = "") -> Response:
        needs_lancedb()
        if not 1 <= k <= 100 or not query.strip() or len(query) > 10_000:
            raise DataError(f"a search needs words and a k between 1 and 100 (query={query[:40]!r}, k={k}). Correct them.")
        found = await serving.reading.do(partial(serving.documents.search, query, k, as_of))
        return JSONResponse({"object": "list", "data": [_found(one) for one in found]})

    @routes.delete("/v1/documents", summary="Take out everything a source said")
    async def delete(source: str, request: Request) -> Response:
        needs_writer(request)
        needs_lancedb()
        if not source:
            raise DataError("a source is needed (source=''). Name the one whose documents are to go.")
        return JSONResponse({"object": "documents", "deleted": await serving.writing.do(partial(serving.documents.delete, source))})

    return routes


def needs_writer(request: Request) -> None:
    """Raise Forbidden for who may not write and delete documents."""
    if not request.scope["writes"]:
        name = request.scope["caller"]
        who = f"This key may not write or delete documents (name={name!r})." if name else "Without a key documents can be neither written nor deleted here."
        raise Forbidden(f"{who} [serve] writers of everlearn.toml names the keys that may.")


def _source(request: Request) -> str:
    """Who gave feedback: by the name of the key, so that nobody speaks for another."""
    name = request.scope["caller"]
    return f"feedback:{name}" if name else "feedback"


def _passage(body: DocumentBody) -> Passage:
    if body.text is not None:
        return Passage(body.text, body.subject, body.valid_from, body.valid_to, body.source, body.trust, body.id)
    made = passage_of(Example(prompt=body.prompt, completion=body.completion, source=body.source), body.valid_from)
    return Passage(made.text, body.subject or made.subject, made.valid_from, body.valid_to, body.source, body.trust, body.id, made.origin)


def _found(found: Found) -> dict[str, Any]:
    told = found.passage.to_json()
    told.pop("origin", None)
    return {"score": found.score, **told}


def _model(name: str, version: Version) -> dict[str, Any]:
    created = int(datetime.fromisoformat(version.created).timestamp())
    return {"id": name, "object": "model", "created": created, "owned_by": "everlearn"}


def _gauges(serving: Serving) -> Iterable[tuple[str, str, str, Iterable[tuple[Mapping[str, str], float]]]]:
    counted, (waiting, under_way), standing = serving.engine.counted, serving.engine.under_way, serving.pool.standing
    plain: list[tuple[str, str, str, float]] = [
        ("everlearn_answers_total", "counter", "Answers finished.", counted.answered),
        ("everlearn_answers_failed_total", "counter", "Answers that a model failed to give.", counted.failed),
        ("everlearn_prompt_tokens_total", "counter", "Tokens read.", counted.asked),
        ("everlearn_said_tokens_total", "counter", "Tokens said.", counted.said),
        ("everlearn_steps_total", "counter", "Forward passes of a running batch.", counted.steps),
        ("everlearn_rows_total", "counter", "Answers in these passes; over steps it is the mean batch.", counted.rows),
        ("everlearn_waiting", "gauge", "Questions that wait.", waiting),
        ("everlearn_under_way", "gauge", "Answers being said.", under_way),
        ("everlearn_swaps_total", "counter", "Changes of what answers latest.", serving.pool.swaps),
        ("everlearn_well", "gauge", "0 while something keeps the newest version from being served.", not serving.pool.problem),
    ]
    yield from ((name, kind, about, [({}, float(value))]) for name, kind, about, value in plain)
    roles = [("in_service", standing.served)] + ([("on_trial", standing.trial)] if standing.trial is not None else [])
    yield (
        "everlearn_version",
        "gauge",
        "The numbers of the versions that answer latest.",
        [({"role": role, "id": s.version.id}, s.version.number) for role, s in roles],
    )
    tallies = [(name, tally) for name, tally in list(serving.pool.tallies.items())]
    yield "everlearn_version_answers_total", "counter", "Answers by version.", [({"id": name}, tally.answers) for name, tally in tallies]
    yield "everlearn_version_bad_total", "counter", "Failed or corrected answers by version.", [({"id": name}, tally.bad) for name, tally in tallies]


class _Metered:
    """An app whose requests are counted, by the pattern of their route, with the time to the end of the answer."""

    def __init__(self, app: ASGIApp, inner: FastAPI, serving: Serving) -> None:
        self.app, self.serving = app, serving
        self.known = {"/openapi.json", *inner.openapi()["paths"]}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 500

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        finally:
            path = scope["path"]
            route = path if path in self.known else "/v1/models/{name}" if path.startswith("/v1/models/") else pattern(path) or "other"
            self.serving.meters.took(route, status, time.perf_counter() - begun)
