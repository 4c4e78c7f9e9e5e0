"""A service desk: what holds is looked up in a dated store and cited; where the desk is not sure, a person takes over; a correction holds at once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import exp, log, sqrt
from pathlib import Path

from everlearn.applications.service import Policy
from everlearn.errors import SettingError
from everlearn.memory.embedders import Embedder
from everlearn.memory.lexicon import Lexicon
from everlearn.memory.passages import Found, Passage, digest, iso
from everlearn.memory.searching import Search
from everlearn.memory.store import DatedStore
from everlearn.memory.tables import Vectors
from everlearn.memory.words import words_of

NEIGHBOURS = 16  # known questions that vote for their matter
SHARP = 0.05  # likeness by which a known question must be nearer to weigh e times as much; on validation questions (docs/experiments.md)
CORRECTED = "correction"  # the source of a question that a person answered


@dataclass(frozen=True, slots=True)
class Reply:
    """What the desk says. text: the policy's answer, word for word, "" where a person takes over.   confidence: 0 to 1.

    cited: the passage of the policy, also where a person takes over: its text, source, id, and from when it holds; None where nothing was found.
    """

    text: str
    confidence: float
    cited: Passage | None

    @property
    def handed_over(self) -> bool:
        return not self.text


class Desk:
    """Finds what a question is about among known questions, and answers with the policy that holds: never with one that another has superseded.

    The model's part is to find: the question's vector is its own state, joined with the question's words. The reply is the policy as it is written, from a
    store in which each policy of a matter closes the one before it, so no weight and no paraphrase stands between the customer and what holds.
    A known question is as like the customer's as the mean of their vectors' cosine and of their words' (each weighing how rare it is among known questions).
    Confidence is the matter's share of the votes of the nearest known questions, each exp((likeness - greatest) / 0.05), times the greatest likeness among
    them; 1 for a question that is known word for word.

    folder: where both stores are kept.   names: a known question counts only where the customer's has every name in it: vectors take namesakes for each other.
    threshold: the confidence from which the desk answers, 0 to 1; `choose` finds one.

    >>> import tempfile
    >>> from everlearn import ModelEmbedder, load_model
    >>> desk = Desk(tempfile.mkdtemp(), ModelEmbedder(load_model("tiny")))
    >>> desk.know([("How long may I return tea?", "returns"), ("When do you open?", "hours")])
    >>> desk.decide([Policy("returns", "30 days.", "2023"), Policy("returns", "14 days.", "2024"), Policy("hours", "From nine.", "2023")])
    >>> desk.answer(["How long may I return tea?"])[0].text, desk.answer(["How long may I return tea?"], as_of="2023-06")[0].text
    ('14 days.', '30 days.')
    """

    def __init__(self, folder: str | Path, embedder: Embedder, threshold: float = 0.0, names: bool = False, prompt: str = "{question}") -> None:
        if not 0 <= threshold <= 1:
            raise SettingError(f"threshold must be between 0 and 1, got {threshold!r}. It is the confidence from which the desk answers.")
        if "{question}" not in prompt:
            raise SettingError(f"a prompt must say where the question stands (prompt={prompt!r}). Write {{question}} in it.")
        self.embedder, self.threshold, self.names, self.prompt = embedder, threshold, names, prompt
        self.questions = DatedStore(Path(folder) / "questions", embedder)
        self.policies = DatedStore(Path(folder) / "policies", embedder)
        self._held: dict[tuple[int, str], dict[str, Passage]] = {}
        self._lexicon: tuple[int, Lexicon] | None = None

    def decide(self, policies: Iterable[Policy]) -> None:
        """Take in policies; each holds from its date on, until the next of its matter."""
        given = [Passage(policy.answer, policy.matter, policy.since, source=policy.source) for policy in policies]
        self.policies.add(given, self._vectors([passage.text for passage in given]) if given else None)

    def know(self, questions: Iterable[tuple[str, str]], source: str = "known") -> None:
        """Take in questions with the matter of each; "" for one that a person must answer. Of one question asked twice the later matter counts."""
        given = {text: Passage(text, text, source=source, origin=matter, id=digest(source, text, matter)) for text, matter in questions}
        before = {passage.subject: passage for passage in self.questions.passages()} if len(self.questions) else {}
        for text, passage in list(given.items()):
            if text in before and before[text].origin == passage.origin:
                del given[text]
            elif text in before:
                self.questions.delete(id=before[text].id)
        if given:
            self.questions.add(given.values(), self._vectors(list(given)))

    def correct(self, questions: Iterable[tuple[str, str]]) -> None:
        """A person's word on what questions are about, "" for a person's matter: it holds from the next question on."""
        self.know(questions, CORRECTED)

    def answer(self, questions: Sequence[str], as_of: str = "") -> list[Reply]:
        """A reply to each, by what held at a date; "" for now."""
        if not questions or not len(self.questions):
            return [Reply("", 0.0, None) for _ in questions]
        held = self.holding(as_of)
        found = self.questions.search_all(list(questions), Search(k=NEIGHBOURS), self._vectors(questions))
        return [self._reply(text, of, held) for text, of in zip(questions, found, strict=True)]

    def holding(self, as_of: str = "") -> dict[str, Passage]:
        """By matter the policy that holds at a date; "" for now."""
        key = self.policies.version, iso(as_of, "as_of")
        if key not in self._held:
            self._held = {key: {passage.subject: passage for passage in self.policies.passages(as_of=as_of)}}
        return self._held[key]

    def choose(self, questions: Sequence[tuple[str, str]], precision: float = 0.9, as_of: str = "") -> float:
        """Set and give the lowest threshold at which, on these (text, matter), at least this share of what is answered is answered right."""
        held = self.holding(as_of)
        self.threshold = 0.0
        replies = self.answer([text for text, _ in questions], as_of)
        right = [
            reply.cited is not None and matter in held and reply.cited.id == held[matter].id for reply, (_, matter) in zip(replies, questions, strict=True)
        ]
        self.threshold = threshold_for([reply.confidence for reply in replies], right, precision)
        return self.threshold

    def _reply(self, text: str, near: Sequence[Found], held: dict[str, Passage]) -> Reply:
        about = [one for one in near if not self.names or self._words().about(one.passage.text, text)]
        if not about:
            return Reply("", 0.0, None)
        asked = words_of(text)
        same = next((one for one in about if words_of(one.passage.text) == asked), None)
        likeness = [(one.nearness + self._shared(asked, words_of(one.passage.text))) / 2 for one in about]
        votes, nearest = defaultdict[str, float](float), defaultdict[str, float](float)
        for one, like in zip(about, likeness, strict=True):
            votes[one.passage.origin] += exp((like - max(likeness)) / SHARP)
            nearest[one.passage.origin] = max(nearest[one.passage.origin], like)
        best = same.passage.origin if same else max(votes, key=votes.__getitem__)
        if best not in held:
            return Reply("", 0.0, None)
        confidence = 1.0 if same else votes[best] / sum(votes.values()) * max(0.0, min(1.0, nearest[best]))
        return Reply(held[best].text if confidence >= self.threshold else "", confidence, held[best])

    def _shared(self, one: Sequence[str], other: Sequence[str]) -> float:
        """The cosine of two questions' words, 0 to 1, each weighing ln((texts + 1) / (texts that have it + 1/2))."""
        lexicon = self._words()
        weight = {word: log((lexicon.texts + 1) / (lexicon.counts.get(word, 0) + 0.5)) ** 2 for word in {*one, *other}}
        both = sqrt(sum(weight[word] for word in set(one)) * sum(weight[word] for word in set(other)))
        return sum(weight[word] for word in {*one} & {*other}) / both if both else 0.0

    def _words(self) -> Lexicon:
        if self._lexicon is None or self._lexicon[0] != self.questions.version:
            self._lexicon = self.questions.version, Lexicon(self.questions.subjects(50_000))
        return self._lexicon[1]

    def _vectors(self, texts: Sequence[str]) -> Vectors:
        return self.embedder.questions([self.prompt.format(question=text) for text in texts])


def threshold_for(confidence: Sequence[float], right: Sequence[bool], precision: float) -> float:
    """The lowest confidence from which at least this share is right; above all of them (at most 1) where there is none.

    >>> threshold_for([0.9, 0.8, 0.3], [True, True, False], 0.9)
    0.8
    """
    if not 0 < precision <= 1:
        raise SettingError(f"precision must be above 0 and at most 1, got {precision!r}. It is the share of answers that are to be right.")
    best, good = 1.0, 0
    order = sorted(zip(confidence, right, strict=True), key=lambda pair: (-pair[0], pair[1]))
    for count, (value, ok) in enumerate(order, 1):
        good += ok
        last_of_equals = count == len(order) or order[count][0] < value
        if last_of_equals and good / count >= precision:
            best = value
    return best
