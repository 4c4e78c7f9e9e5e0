"""What a client is told when something is refused: OpenAI's shape of an error, and which status each of our errors has."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from everlearn.errors import Busy, DataError, EverlearnError, MissingExtra, SettingError, StateError, Unsuited
from everlearn.serve.asking import Overloaded, TooLong
from everlearn.serve.bodies import told
from everlearn.serve.leaving import Gone

KINDS = {400: "invalid_request_error", 401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}


class Unknown(SettingError):
    """A model, or an answer, that this server does not have."""


class Forbidden(SettingError):
    """Something that this caller may not do."""


def refusal(status: int, message: str, code: str | None = None, param: str | None = None, headers: dict[str, str] | None = None) -> JSONResponse:
    """An error as OpenAI's clients read it."""
    kind = KINDS.get(status, "invalid_request_error" if status < 500 else "server_error")
    return JSONResponse({"error": {"message": message, "type": kind, "param": param, "code": code}}, status, headers)


def refused(problem: EverlearnError) -> JSONResponse:
    """What a client is told of an error of ours."""
    if isinstance(problem, TooLong):
        return refusal(400, str(problem), "context_length_exceeded")
    if isinstance(problem, Gone):
        return refusal(499, str(problem))  # nobody hears it; it is counted so
    if isinstance(problem, Forbidden):
        return refusal(403, str(problem), "forbidden")
    if isinstance(problem, Unknown):
        return refusal(404, str(problem), "not_found")
    if isinstance(problem, Overloaded | Busy):
        return refusal(503, str(problem), "overloaded", headers={"Retry-After": "1"})
    if isinstance(problem, MissingExtra):
        return refusal(501, str(problem), "missing_extra")
    if isinstance(problem, StateError):
        return refusal(503, str(problem), "unavailable")
    if isinstance(problem, DataError | SettingError | Unsuited):
        return refusal(400, str(problem))
    return refusal(500, str(problem))


def add_refusals(app: FastAPI) -> None:
    """Every error of the app in one shape."""

    @app.exception_handler(EverlearnError)
    async def ours(request: Request, problem: EverlearnError) -> JSONResponse:
        return refused(problem)

    @app.exception_handler(RequestValidationError)
    async def mistaken(request: Request, problem: RequestValidationError) -> JSONResponse:
        sentences = [told(dict(one)) for one in problem.errors()[:5]]
        return refusal(400, " ".join(text for text, _ in sentences), "invalid_value", sentences[0][1] if sentences else None)

    @app.exception_handler(HTTPException)
    async def plain(request: Request, problem: HTTPException) -> JSONResponse:
        told_of = {404: f"There is no such address (path={request.url.path!r}). /openapi.json lists them.", 405: "This address takes another method."}
        return refusal(problem.status_code, told_of.get(problem.status_code, str(problem.detail)), headers=dict(problem.headers or {}))


def tell_refusals(app: FastAPI) -> None:
    """Let the app's OpenAPI say what refusals look like; mistakes in a request are status 400 here, not 422."""
    said = app.openapi()
    error = {name: {"type": ["string", "null"]} for name in ("param", "code")} | {name: {"type": "string"} for name in ("message", "type")}
    shape = {"type": "object", "properties": {"error": {"type": "object", "properties": error, "required": sorted(error)}}, "required": ["error"]}
    refusing: dict[str, Any] = {"description": "Refused; the message says why.", "content": {"application/json": {"schema": shape}}}
    for path in said["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            operation["responses"]["4XX"] = operation["responses"]["5XX"] = refusing
    app.openapi_schema = said
