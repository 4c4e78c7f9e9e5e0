"""A translator that obeys its glossary at once: what the model leaves out is put where the model finds it likeliest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from everlearn.applications.glossary import PLACEHOLDER, Glossary, placeholders, uses
from everlearn.evaluate.scores import has_han, size
from everlearn.models.encode import Encoder
from everlearn.models.language import LanguageModel
from everlearn.types import Batch, Example, Out

PROMPT = "Translate to {language}: {source}\nTranslation:"
_ASKED = re.compile(r"Translate to (?P<language>[^:\n]+): (?P<source>.*)\nTranslation:\s*", re.DOTALL)
MOST_REPLACED = 2  # words more than a term has that may make room for it


def asked_for(prompt: str) -> tuple[str, str] | None:
    """(language, source) of a prompt to translate, None for any other.

    >>> asked_for(PROMPT.format(language="German", source="Two dogs."))
    ('German', 'Two dogs.')
    """
    found = _ASKED.fullmatch(prompt)
    return (found["language"], found["source"]) if found else None


class ObedientModel:
    """A LanguageModel whose translations use every term of a glossary and keep every placeholder; it answers anything else as the model beneath.

    The model translates freely. A term or placeholder that is missing then replaces a run of words, or comes between two, wherever the whole is likeliest
    per UTF-8 byte; what has been put there stays. So a new term holds from the moment it is written, for any model that can score, at one scoring a missing
    term. Lexically constrained decoding (Hokamp and Liu 2017, arXiv:1704.07138) searches while it decodes; this rescores one finished translation.
    as_of: an ISO date, for the terms that held then; "" for now.
    """

    def __init__(self, model: LanguageModel, glossary: Glossary, as_of: str = "") -> None:
        self.model, self.glossary, self.as_of = model, glossary, as_of
        self.encoder: Encoder = model.encoder

    def logits(self, batch: Batch) -> Out:
        return self.model.logits(batch)

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return self.model.score(prompts, continuations)

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        return self.obeying(prompts, self.model.generate(prompts, limit, lines))

    def wanted(self, prompt: Example) -> list[str]:
        """What a translation must have: the terms' targets, then the placeholders."""
        asked = asked_for(prompt.prompt or "")
        if asked is None:
            return []
        terms = self.glossary.found_in(asked[1], asked[0], self.as_of)
        return [*dict.fromkeys(term.target for term in terms), *placeholders(asked[1])]

    def obeying(self, prompts: Sequence[Example], drafts: Sequence[str]) -> list[str]:
        """The drafts with what each must have; placeholders that the source has not are taken out."""
        wanted = [self.wanted(prompt) for prompt in prompts]
        texts = [_without_others(draft, of) if of else draft for draft, of in zip(drafts, wanted, strict=True)]
        for _ in range(sum(map(len, wanted))):
            missing = {at: lack for at, text in enumerate(texts) if (lack := _first_missing(text, wanted[at]))}
            if not missing:
                break
            options = [_places(texts[at], lack, [one for one in wanted[at] if one != lack]) for at, lack in missing.items()]
            scores = self.model.score([prompts[at] for at in missing], options)
            for at, of, nats in zip(missing, options, scores, strict=True):
                texts[at] = max(zip(nats, of, strict=True), key=lambda pair: pair[0] / size(pair[1]))[1]
        return texts


def _first_missing(text: str, wanted: Sequence[str]) -> str | None:
    """The first that the text lacks: a term it does not use, a placeholder it has less often than wanted."""
    have, need = Counter(placeholders(text)), Counter(one for one in wanted if PLACEHOLDER.fullmatch(one))
    for one in wanted:
        if have[one] < need[one] if one in need else not uses(text, one):
            return one
    return None


def _without_others(text: str, wanted: Sequence[str]) -> str:
    """The text without placeholders that are not wanted, or more often than wanted."""
    left = Counter(one for one in wanted if PLACEHOLDER.fullmatch(one))

    def kept(match: re.Match[str]) -> str:
        left[match[0]] -= 1
        return match[0] if left[match[0]] >= 0 else ""

    return re.sub(r" {2,}", " ", PLACEHOLDER.sub(kept, text))


def _places(text: str, term: str, others: Sequence[str]) -> list[str]:
    """The text with the term between two words, or in place of a run of them; nothing that must stay is lost."""
    pieces, mark = (list(text.strip()), "") if has_han(text) else (text.split(), " ")
    most = (len(term) if not mark else len(term.split())) + MOST_REPLACED
    stays = _stays(text, others)
    found = dict[str, None]()
    for start in range(len(pieces) + 1):
        for end in range(start, min(len(pieces), start + most) + 1):
            candidate = mark.join([*pieces[:start], term, *pieces[end:]])
            if stays(candidate):
                found[_led(candidate, text)] = None
    return list(found)


def _stays(text: str, others: Sequence[str]) -> Callable[[str], bool]:
    """Whether a candidate has what the text already has of the others."""
    terms = [one for one in others if not PLACEHOLDER.fullmatch(one) and uses(text, one)]
    have = Counter(placeholders(text))
    return lambda candidate: all(uses(candidate, one) for one in terms) and have <= Counter(placeholders(candidate))


def _led(candidate: str, text: str) -> str:
    """With the white space that the model began with, else one space: translations follow a colon."""
    return (text[: len(text) - len(text.lstrip())] or " ") + candidate
