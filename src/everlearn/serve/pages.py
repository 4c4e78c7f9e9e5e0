"""The page of a server: its versions and why each was accepted or refused, a question asked of two of them, the documents as of a date.

It only reads: every form is a GET, so nothing is changed by a click, and no token is needed.
"""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from jinja2 import Environment
from markupsafe import Markup

from everlearn.errors import EverlearnError
from everlearn.memory.passages import Passage
from everlearn.serve.bodies import Answering
from everlearn.serve.serving import Serving
from everlearn.types import Example

PLACE = files("everlearn")
MOST_TOKENS = 64  # of an answer on the page
FOUND = 10
GUARDED = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def page_routes(serving: Serving) -> APIRouter:
    """The page at /."""
    routes = APIRouter()
    template = Environment(autoescape=True, trim_blocks=True).from_string(PLACE.joinpath("serve/page.html").read_text(encoding="utf-8"))
    style = PLACE.joinpath("report/page.css").read_text(encoding="utf-8")

    @routes.get("/", summary="A page to look at", response_class=HTMLResponse)
    async def page(
        request: Request,
        ask: Annotated[str, Query(max_length=4000)] = "",
        before: Annotated[str, Query(max_length=64)] = "",
        after: Annotated[str, Query(max_length=64)] = "",
        query: Annotated[str, Query(max_length=1000)] = "",
        as_of: Annotated[str, Query(max_length=40)] = "",
    ) -> HTMLResponse:
        standing, versions = serving.pool.standing, await asyncio.to_thread(serving.home.versions)
        usable = [f"v{version.number}" for version in await asyncio.to_thread(serving.usable)]
        after = after or standing.served.name
        parent = next((f"v{v.number}" for v in versions if v.id == standing.served.version.parent), usable[0])
        before, mistake, said, found = before or parent, "", list[tuple[str, str]](), list[Passage]()
        try:
            if ask.strip():
                said = [(name, await _answer(serving, name, ask)) for name in (before, after)]
            if query.strip():
                found = [one.passage for one in await asyncio.to_thread(serving.documents.search, query, FOUND, as_of)] if serving.documents else []
        except EverlearnError as problem:
            mistake = str(problem)
        text = template.render(
            name=serving.home.folder.resolve().name,
            style=Markup(style),
            serving=standing.served.name,
            trial=standing.trial.name if standing.trial is not None else "",
            problem=serving.pool.problem,
            usable=usable,
            versions=versions[::-1],
            ask=ask,
            before=before,
            after=after,
            said=said,
            query=query,
            as_of=as_of,
            found=found,
            mistake=mistake,
        )
        return HTMLResponse(text, headers=GUARDED)

    return routes


async def _answer(serving: Serving, name: str, text: str) -> str:
    """What a version says: in a chat where it has a template, else to the text as it is."""
    served = await serving.version(name, "")
    chats = served.model.tokenizer.chat_template is not None
    turns = ({"role": "user", "content": text}, {"role": "assistant", "content": ""})
    question = Example(messages=turns) if chats else Example(prompt=text, completion="")
    ask = await serving.ask(Answering(), question, min(MOST_TOKENS, serving.table.most_tokens))
    return (await serving.answer(served, ask)).text.strip()
