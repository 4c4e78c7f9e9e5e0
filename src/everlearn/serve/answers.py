"""OpenAI's routes that answer: chat, completions, embeddings."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse

from everlearn.errors import DataError, EverlearnError
from everlearn.memory.embedding import ModelEmbedder
from everlearn.memory.tables import Vectors
from everlearn.serve.asking import Ask, Piece
from everlearn.serve.bodies import Answering, ChatBody, CompletionBody, EmbeddingBody
from everlearn.serve.leaving import together, while_there
from everlearn.serve.opening import Served
from everlearn.serve.refusals import refused
from everlearn.serve.serving import Said, Serving
from everlearn.types import Example

Kind = Literal["chat.completion", "text_completion"]
CITED = ("id", "text", "subject", "source", "valid_from", "valid_to")  # of a document that was read
BEGINNINGS = {"chat.completion": "chatcmpl", "text_completion": "cmpl"}


class Reply:
    """One response in the making: its id, which version answers, and OpenAI's shapes for it."""

    def __init__(self, kind: Kind, served: Served) -> None:
        self.kind, self.served = kind, served
        self.id, self.created = f"{BEGINNINGS[kind]}-{secrets.token_hex(12)}", int(time.time())

    def whole(self, said: Sequence[Said], asks: Sequence[Ask], prompts: int) -> dict[str, Any]:
        """All choices at once. prompts: how many of them were read."""
        choices = [{**self._choice(at, one.text, one.finish), **cited(ask)} for at, (one, ask) in enumerate(zip(said, asks, strict=True))]
        each = len(said) // prompts
        asked, spoken = sum(one.asked for one in said[::each]), sum(one.said for one in said)
        return {**self._head(self.kind), "choices": choices, "usage": usage(asked, spoken)}

    def chunk(self, at: int, piece: Piece, first: bool, ask: Ask) -> dict[str, Any]:
        """What was said since the last one; with the last the documents that were read."""
        finish = piece.finish or None
        if self.kind == "chat.completion":
            delta = {**({"role": "assistant"} if first else {}), **({"content": piece.text} if piece.text or first else {})}
            choice: dict[str, Any] = {"index": at, "delta": delta, "logprobs": None, "finish_reason": finish}
        else:
            choice = {"index": at, "text": piece.text, "logprobs": None, "finish_reason": finish}
        return {**self._head(self._chunk_kind), "choices": [{**choice, **(cited(ask) if finish else {})}]}

    def last(self, asked: int, said: int) -> dict[str, Any]:
        """The usage, where it was asked for."""
        return {**self._head(self._chunk_kind), "choices": [], "usage": usage(asked, said)}

    @property
    def _chunk_kind(self) -> str:
        return "chat.completion.chunk" if self.kind == "chat.completion" else self.kind

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": self.id, "object": kind, "created": self.created, "model": self.served.name, "system_fingerprint": self.served.version.id}

    def _choice(self, at: int, text: str, finish: str) -> dict[str, Any]:
        if self.kind == "chat.completion":
            return {"index": at, "message": {"role": "assistant", "content": text, "refusal": None}, "logprobs": None, "finish_reason": finish}
        return {"index": at, "text": text, "logprobs": None, "finish_reason": finish}


def cited(ask: Ask) -> dict[str, Any]:
    """The documents that the model was given to read, as a choice's own field; none where there were none."""
    shown = [{key: value for key, value in passage.to_json().items() if key in CITED} for passage in ask.read]
    return {"documents": shown} if shown else {}


def usage(asked: int, said: int) -> dict[str, int]:
    return {"prompt_tokens": asked, "completion_tokens": said, "total_tokens": asked + said}


def answer_routes(serving: Serving) -> APIRouter:
    """The routes, over these parts."""
    routes = APIRouter()

    @routes.post("/v1/chat/completions", summary="Answer a conversation")
    async def chat(body: ChatBody, request: Request) -> Response:
        messages = (*(turn.message() for turn in body.messages), {"role": "assistant", "content": ""})
        limit = body.max_completion_tokens if body.max_completion_tokens is not None else body.max_tokens
        return await _answered(serving, request, "chat.completion", body, [Example(messages=messages)], limit)

    @routes.post("/v1/completions", summary="Go on with a prompt")
    async def completions(body: CompletionBody, request: Request) -> Response:
        return await _answered(
            serving,
            request,
            "text_completion",
            body,
            [Example(prompt=text, completion="") for text in body.prompts],
            16 if body.max_tokens is None else body.max_tokens,
        )

    @routes.post("/v1/embeddings", summary="Texts as vectors: the model's own state when it is asked them")
    async def embeddings(body: EmbeddingBody, request: Request) -> Response:
        served = await serving.version(body.model, request.scope["caller"])
        vectors, tokens = await while_there(request.receive, serving.call(lambda: _embedded(served, body.texts)))
        if body.dimensions not in (None, vectors.shape[1]):
            raise DataError(f"this model's vectors have {vectors.shape[1]} components, got dimensions={body.dimensions}. Leave it out.")
        data = [{"object": "embedding", "index": at, "embedding": _written(vector, body.encoding_format)} for at, vector in enumerate(vectors)]
        return JSONResponse({"object": "list", "data": data, "model": served.name, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}})

    return routes


async def _answered(serving: Serving, request: Request, kind: Kind, body: Answering, questions: Sequence[Example], limit: int | None) -> Response:
    """A response to one request, all of it by one version; nothing of it is said any more once one answer fails, or the client has gone."""
    each, most = body.n or 1, min(serving.table.most_answers, serving.table.waiting)
    if len(questions) * each > most:
        raise DataError(
            f"one request may ask for at most {most} answers here, got {len(questions) * each} (prompts={len(questions)}, n={each})."
            " [serve] most_answers of everlearn.toml is the limit, and so is waiting. Ask in several requests."
        )
    reply = Reply(kind, await serving.version(body.model, body.user or request.scope["caller"] or secrets.token_hex(8)))
    first_asks = [await serving.ask(body, question, limit) for question in questions]
    asks = [replace(ask, seed=ask.seed + number) for ask in first_asks for number in range(each)]  # each choice is drawn anew
    serving.remember(reply.id, reply.served, questions[0])
    if body.stream:
        usage_too = body.stream_options is not None and body.stream_options.include_usage
        chunks = _streamed(serving, reply, asks, usage_too, len(questions))
        first = await while_there(request.receive, anext(chunks))  # what is refused has a status of its own
        return StreamingResponse(_events(first, chunks), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
    said = await while_there(request.receive, together([serving.answer(reply.served, ask) for ask in asks]))
    return JSONResponse(reply.whole(said, asks, len(questions)))


async def _streamed(serving: Serving, reply: Reply, asks: Sequence[Ask], usage_too: bool, prompts: int) -> AsyncIterator[dict[str, Any]]:
    """The chunks of all choices as they come."""
    heard = asyncio.Queue[tuple[int, Piece | Exception]]()

    async def listen(at: int, ask: Ask) -> None:
        try:
            async for piece in serving.pieces(reply.served, ask):
                heard.put_nowait((at, piece))
        except EverlearnError as problem:
            heard.put_nowait((at, problem))

    tasks = [asyncio.create_task(listen(at, ask)) for at, ask in enumerate(asks)]
    last: dict[int, Piece] = {}
    open_ones, begun = len(asks), set[int]()
    try:
        while open_ones:
            at, piece = await heard.get()
            if isinstance(piece, Exception):
                raise piece
            yield reply.chunk(at, piece, at not in begun, asks[at])
            begun.add(at)
            last[at] = piece
            open_ones -= bool(piece.finish)
        if usage_too:
            each = len(asks) // prompts
            yield reply.last(sum(last[at].asked for at in range(0, len(asks), each)), sum(piece.said for piece in last.values()))
    finally:
        for task in tasks:
            task.cancel()


async def _events(first: dict[str, Any], rest: AsyncIterator[dict[str, Any]]) -> AsyncIterator[bytes]:
    """Server-sent events; an error in the middle is the last one."""
    yield _event(first)
    try:
        async for chunk in rest:
            yield _event(chunk)
        yield b"data: [DONE]\n\n"
    except EverlearnError as problem:
        yield b"data: " + bytes(refused(problem).body) + b"\n\n"


def _event(chunk: dict[str, Any]) -> bytes:
    return f"data: {json.dumps(chunk, ensure_ascii=False)}\n\n".encode()


def _embedded(served: Served, texts: Sequence[str]) -> tuple[Vectors, int]:
    """Vectors (n, d), and how many tokens were read."""
    embedder, encoder = ModelEmbedder(served.model), served.model.encoder
    tokens = encoder.prompts([Example(prompt=text, completion="") for text in texts])
    for text, ids in zip(texts, tokens, strict=True):
        if not ids or not text:
            raise DataError(f"there is nothing to embed (input={text!r}). Give text.")
        if len(ids) > encoder.longest:
            raise DataError(f"a text has {len(ids)} tokens, and this model reads {encoder.longest}. Shorten it.")
    return embedder.questions(texts), sum(map(len, tokens))


def _written(vector: Vectors, form: str | None) -> object:
    return base64.b64encode(np.asarray(vector, "<f4").tobytes()).decode() if form == "base64" else [float(value) for value in vector]
