"""The pages that only read: the overview, the versions, a question asked of two of them, the memory as of a date."""

from __future__ import annotations

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response

from everlearn.errors import DataError, EverlearnError, MissingExtra, SettingError, StateError
from everlearn.memory.passages import Passage, iso
from everlearn.serve.bodies import Answering
from everlearn.serve.guard import told_to
from everlearn.serve.leaving import Gone, together, while_there
from everlearn.serve.opening import Served
from everlearn.serve.pages.history import History
from everlearn.serve.pages.rendering import Pages
from everlearn.serve.serving import Serving, needs_lancedb
from everlearn.types import Example
from everlearn.versions.answers import kept_difference
from everlearn.versions.difference import VersionDifference
from everlearn.versions.record import Version
from everlearn.versions.watching import watched

MOST_TOKENS = 64  # of an answer on a page
FOUND = 10  # documents shown
MARK = "question"  # stands for what is asked in a template
FLIPS = 25  # changed answers of a task shown in each direction
TOLD_ELSEWHERE = ("Version ", "Learned: ", "Lost: ", "On anchor text", "Accepted: ", "Refused: ")  # what a version's page tells by its numbers
Every = Annotated[bool, Query(alias="all")]
Name = Annotated[str, Query(alias="with", max_length=64)]


def looking_routes(pages: Pages) -> APIRouter:
    """GET alone: none of it changes anything."""
    routes = APIRouter(include_in_schema=False)
    _life(routes, pages)
    _questions(routes, pages)
    return routes


def _life(routes: APIRouter, pages: Pages) -> None:
    """The home and its versions."""
    serving = pages.serving

    @routes.get("/")
    async def overview(request: Request, every: Every = False) -> Response:
        history = await serving.reading.do(partial(History, serving.home, serving.pool.standing))
        shown = history.shown(every)
        problem = told_to(request.scope, serving.pool.problem or serving.feedback.problem or serving.uploads.problem)
        seen = await serving.reading.do(partial(watched, serving.home))
        drawn = {"line": history.line(shown), "heat": history.heat(shown), "shown": shown, "watched": seen, "folder": pages.folder(request)}
        return pages.page(request, "overview.html", history=history, standing=history.standing, problem=problem, **drawn)

    @routes.get("/versions")
    async def versions(request: Request, every: Every = False) -> Response:
        history = await serving.reading.do(partial(History, serving.home, serving.pool.standing))
        return pages.page(request, "versions.html", history=history, shown=history.shown(every))

    @routes.get("/versions/{name}")
    async def version(request: Request, name: str, beside: Name = "", done: Annotated[str, Query(max_length=20)] = "") -> Response:
        history = await serving.reading.do(partial(History, serving.home, serving.pool.standing))
        found = version_called(history, name)
        if found is None:
            return pages.problem(request, 404, "no_version")
        other = version_called(history, beside) if beside else history.parent(found)
        difference = None if other is None or other is found else await serving.reading.do(partial(_difference, serving, other, found))
        notes = [line for line in found.report if not line.startswith(TOLD_ELSEWHERE) and line not in found.reasons and found.kind != "start"]
        about = {"notes": notes, "other": other, "difference": difference, "flips": FLIPS}
        came = _came(serving, history, found) if done in ("rollback", "opening") else ""
        return pages.page(request, "version.html", history=history, v=found, done=came, **about)


def _questions(routes: APIRouter, pages: Pages) -> None:
    """What is asked: of two versions, of the memory."""
    serving = pages.serving

    @routes.get("/ask")
    async def ask(
        request: Request,
        question: Annotated[str, Query(alias="q", max_length=4000)] = "",
        before: Annotated[str, Query(max_length=64)] = "",
        after: Annotated[str, Query(max_length=64)] = "",
    ) -> Response:
        usable = await serving.reading.do(serving.usable)
        names, served = [f"v{version.number}" for version in usable], serving.pool.standing.served
        parent = next((f"v{version.number}" for version in usable if version.id == served.version.parent), names[0])
        chosen, said, read, mistake = (before or parent, after or served.name), list[str](), tuple[Passage, ...](), ""
        if question.strip():
            try:
                both = await while_there(request.receive, together([_answer(serving, name, question) for name in chosen]))
                said, read = [text for text, _ in both], both[0][1]
            except Gone:
                raise
            except EverlearnError as problem:
                mistake = str(problem)
        about = {"names": names, "chosen": chosen, "documents": bool(serving.documents)}
        return pages.page(request, "ask.html", 400 if mistake else 200, question=question, said=said, read=read, mistake=mistake, **about)

    @routes.get("/memory")
    async def memory(
        request: Request, query: Annotated[str, Query(alias="q", max_length=1000)] = "", as_of: Annotated[str, Query(max_length=40)] = ""
    ) -> HTMLResponse:
        found, problem, mistake, day = list[Passage](), "", "", ""
        try:
            needs_lancedb()
            day = iso(as_of, "as_of")[:10]
            if query.strip() and serving.documents:
                found = [one.passage for one in await serving.reading.do(partial(serving.documents.search, query, FOUND, as_of))]
        except MissingExtra:
            problem = "needs_memory"
        except DataError:
            problem = "bad_date"
        except EverlearnError as other:
            problem, mistake = "something_else", str(other)
        given = {"query": query, "as_of": as_of, "day": day, "found": found, "problem": problem, "mistake": mistake, "documents": bool(serving.documents)}
        return pages.page(request, "memory.html", 400 if problem else 200, **given)


def _came(serving: Serving, history: History, version: Version) -> str:
    """What came of a rollback to it, by what is served now; "" where it is neither served nor the home's head."""
    if serving.pool.standing.served.version.id == version.id:
        return "rollback"
    return "opening" if history.head.id == version.id else ""


def version_called(history: History, name: str) -> Version | None:
    """By its number or the beginning of its id; None for none, or several."""
    try:
        return history.home.version(name)
    except (SettingError, StateError):
        return None


def _difference(serving: Serving, before: Version, after: Version) -> VersionDifference | None:
    """What flipped between them; None where one's answers are gone."""
    try:
        return kept_difference(serving.home, before, after)
    except StateError:
        return None


async def _answer(serving: Serving, name: str, text: str) -> tuple[str, tuple[Passage, ...]]:
    """What a version says, and the documents that it was given to read."""
    served = await serving.version(name, "")
    ask = await serving.ask(Answering(), asked(served, text), min(MOST_TOKENS, serving.table.most_tokens))
    return (await serving.answer(served, ask)).text.strip(), ask.read


def asked(served: Served, text: str) -> Example:
    """A chat's turn where the version has a template; the text as it stands where it has none, or where it ends as that template's prompts do already."""
    template = served.model.tokenizer.chat_template
    if template is not None:
        framed = str(served.model.tokenizer.apply_chat_template([{"role": "user", "content": MARK}], tokenize=False, add_generation_prompt=True))
        ending = framed.partition(MARK)[2].strip()
        if not ending or not text.rstrip().endswith(ending):
            return Example(messages=({"role": "user", "content": text}, {"role": "assistant", "content": ""}))
        text = text.rstrip()
    return Example(prompt=text, completion="")
