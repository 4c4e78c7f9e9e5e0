"""Forms that are sent: read, and known to come from a page of ours."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import parse_qsl

from fastapi import Request
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException

from everlearn.errors import DataError
from everlearn.serve.pages.visits import Visits

MOST_FIELDS = 16


class StrangeFormError(Exception):
    """A form that no page of ours was sent with, or from a browser that we do not know."""


@dataclass(frozen=True, slots=True)
class Form:
    """texts: by name.   files: by name, the file's own name and its bytes."""

    texts: dict[str, str] = field(default_factory=dict)
    files: dict[str, tuple[str, bytes]] = field(default_factory=dict)


async def sent_form(request: Request, visits: Visits) -> Form:
    """The form of a request. Raises StrangeFormError where its token is not this browser's, DataError for one that cannot be read."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        form = await _parts(request)
    elif kind == "application/x-www-form-urlencoded":
        try:
            form = Form(dict(parse_qsl((await request.body()).decode(), keep_blank_values=True, max_num_fields=MOST_FIELDS)))
        except ValueError as problem:
            raise DataError("the form cannot be read. Send it from its page.") from problem
    else:
        raise StrangeFormError
    if not visits.is_from(visits.browser(request.scope), form.texts.get("token", "")):
        raise StrangeFormError
    return form


async def _parts(request: Request) -> Form:
    found = Form()
    try:
        async with request.form(max_files=2, max_fields=MOST_FIELDS) as parts:
            for name, part in parts.multi_items():
                if isinstance(part, UploadFile):
                    if part.filename:  # a field that was left empty comes without
                        found.files[name] = (part.filename, await part.read())
                else:
                    found.texts[name] = part
    except (MultiPartException, HTTPException, ValueError) as problem:
        raise DataError("the form cannot be read. Send it from its page.") from problem
    return found
