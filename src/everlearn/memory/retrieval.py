"""A model that looks up what it needs before it answers, behind LanguageModel's own interface."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from everlearn.errors import SettingError
from everlearn.memory.embedders import Embedder
from everlearn.memory.embedding import ModelEmbedder
from everlearn.memory.lexicon import Lexicon
from everlearn.memory.passages import Found, iso
from everlearn.memory.reading import asked_in, chosen, example_of, with_passages
from everlearn.memory.searching import Search
from everlearn.memory.store import DatedStore
from everlearn.memory.tables import Vectors
from everlearn.models.weights import TrainedModel
from everlearn.types import Batch, Example, Out, Row

CANDIDATES = 16  # passages looked at for one question
LEXICON = 50_000  # subjects from which it is told how rare a word is


class RetrievalModel:
    """A LanguageModel that reads what a dated store holds about a question, and then answers; where nothing is near enough, nothing is added.

    k: passages read, >= 1.   least: the cosine from which a passage is near, -1 to 1.   same: those within this of the nearest answer one question, of
    which the newest is read.   names: a passage that answers a question is read only where every telling word of its question (a name, and what is as
    rare in the store) is in the one that is asked: vectors alone take namesakes for each other.   as_of: an ISO date; "" for now.
    template: what stands before the question, with {passages}.

    >>> import tempfile
    >>> from everlearn import load_model
    >>> from everlearn.memory.reading import passage_of
    >>> model, moon = load_model("tiny"), Example(prompt="Question: What is the river of Penwick?\\nAnswer:", completion=" Brue", source="atlas")
    >>> served = RetrievalModel(model, DatedStore(tempfile.mkdtemp(), ModelEmbedder(model)), ModelEmbedder(model))
    >>> told = served.store.add([passage_of(moon)], vectors=served.vectors([moon]))
    >>> served.generate([moon], limit=4), [found.passage.source for found in served.cited([moon])[0]]
    ([' Brue'], ['atlas'])
    """

    def __init__(
        self,
        model: TrainedModel,
        store: DatedStore,
        embedder: Embedder,
        k: int = 1,
        least: float = 0.96,
        same: float = 0.02,
        names: bool = True,
        as_of: str = "",
        template: str = "Context: {passages} ",
    ) -> None:
        if "{passages}" not in template:
            raise SettingError(f"a template must say where passages stand (template={template!r}). Write {{passages}} in it.")
        self.model, self.store, self.embedder = model, store, embedder
        self.k, self.same, self.names, self.template = k, same, names, template
        self._lexicon: tuple[int, Lexicon] | None = None
        self.search = Search(k=max(k, CANDIDATES), least=least, as_of=iso(as_of, "as_of"))
        self.name, self.encoder = model.name, model.encoder

    @property
    def module(self) -> PreTrainedModel:
        return self.model.module

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return self.model.tokenizer

    def at(self, as_of: str) -> RetrievalModel:
        """The same model with the same store, answering by what held at a date; "" for now."""
        other = copy.copy(self)
        other.search = Search(self.search.k, iso(as_of, "as_of"), self.search.least)
        return other

    def batch(self, rows: Sequence[Row]) -> Batch:
        return self.model.batch(rows)

    def logits(self, batch: Batch) -> Out:
        """Of the batch's learned tokens, each row read with its passages; of what is too long the beginning is left out.

        A row is read as it is (it may be a window of a text, or drawn tokens) where nothing is found, or the passages leave no room for what it learns.
        """
        read = self.read([row.example for row in batch.rows])
        if all(e is row.example for e, row in zip(read, batch.rows, strict=True)):
            return self.model.logits(batch)
        return self.model.logits(self.model.batch([self._told(row, e) for row, e in zip(batch.rows, read, strict=True)]))

    def _told(self, row: Row, read: Example) -> Row:
        """The row's own tokens after its question as it is read."""
        if read is row.example:
            return row
        asked, told = self.encoder.prompts([row.example, read])
        start, rest = len(self.encoder.start), row.tokens[len(asked) :]
        told = told[:start] + told[start:][max(0, len(told) + len(rest) - self.encoder.longest) :]
        tokens, shift = (*told, *rest), len(told) - len(asked)
        learned = tuple(at + shift for at in row.learned)
        fits = all(at > start and tokens[at : at + 1] == row.tokens[at - shift : at - shift + 1] for at in learned)
        return replace(row, tokens=tokens, learned=learned) if fits else row

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        return self.model.generate(self.read(prompts), limit, lines)

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return self.model.score(self.read(prompts), continuations)

    def read(self, examples: Sequence[Example]) -> list[Example]:
        """The questions as the model gets them."""
        cited = self.cited(examples)
        return [with_passages(e, [found.passage for found in of], self.template) for e, of in zip(examples, cited, strict=True)]

    def cited(self, examples: Sequence[Example]) -> list[list[Found]]:
        """For each question the passages that are read, with source, dates and id; none for a plain text, or where nothing is near."""
        asking = [at for at, e in enumerate(examples) if e.text is None]
        found: list[list[Found]] = [[] for _ in examples]
        if asking and len(self.store):
            questions = [examples[at] for at in asking]
            every = self.store.search_all([asked_in(e) for e in questions], self.search, self.vectors(questions))
            for at, of in zip(asking, every, strict=True):
                about = [one for one in of if not self.names or self._is_about(one, examples[at])]
                found[at] = chosen(about, self.k, self.same)
        return found

    def _is_about(self, found: Found, example: Example) -> bool:
        row = example_of(found.passage)
        asked = asked_in(row) if row is not None else ""
        return not asked or self._words().about(asked, asked_in(example))

    def _words(self) -> Lexicon:
        """Of the store as it is now."""
        if self._lexicon is None or self._lexicon[0] != self.store.version:
            self._lexicon = self.store.version, Lexicon(self.store.subjects(LEXICON))
        return self._lexicon[1]

    def vectors(self, examples: Sequence[Example]) -> Vectors:
        """By what a question is found: the model's own state when it is asked, or another embedder's vector of its words."""
        if isinstance(self.embedder, ModelEmbedder):
            return self.embedder.prompts(examples)
        return self.embedder.questions([asked_in(e) or e.text or "" for e in examples])
