"""What a model writes by itself: prompts in the shapes of given ones, texts, and its own answers to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise, takewhile
from math import exp
from random import Random

import torch

from everlearn.models.batch import by_length
from everlearn.models.pairs import PairEncoder
from everlearn.models.sampling import Sampling
from everlearn.models.weights import TrainedModel, as_found
from everlearn.replay.shapes import Prompts, Shape, crossed, words
from everlearn.types import Example, Row

CROSSED = 0.5  # of the phrases that fill a shape, the share put together from two; names nobody gave come from here
EXPLORED = 0.3  # of the fillings, the share that tries any phrase in any shape, once some are known to work
MOST_TOKENS = 16_384  # padded tokens in one forward pass without gradients
FLUENT, SELDOM = 0.5, 0.1  # of prompts written on, the shares that end from which a model is held to write them well, and at all
TRIED = 64  # prompts written on to find that out
LONGEST_PHRASE = 8  # words and spaces; longer answers are no names


class Writer:
    """Samples in the forms of the given examples: shapes filled with the model's own phrases, and prompts or texts written on from a beginning.

    confidence: least probability (geometric mean over the tokens) of an answer; above 0, phrases and shapes that met it are tried more often.
    """

    def __init__(
        self, model: TrainedModel, given: Sequence[Example], limit: int, sampling: Sampling, overlap: float, random: Random, confidence: float = 0.0
    ) -> None:
        reach = model.encoder.room if isinstance(model.encoder, PairEncoder) else model.encoder.longest // 2  # a prompt is written as an answer is
        self.model, self.limit, self.sampling, self.random = model, min(limit, reach), sampling, random
        self.overlap, self.confidence = overlap, confidence
        self.asked = asked_in(given)
        self.texts = Prompts((e.text, "") for e in given if e.text is not None)
        self.chat = next((e.messages for e in given if e.messages is not None), None)
        self.ending = _ending(self.asked.texts)
        self.one_line = _one_line(self.asked.texts, self.ending)
        self.longest = min(reach, max((len(ids) for ids in model.encoder.tokens([*self.asked.texts, *self.texts.texts])), default=1))
        self.known = {*self.asked.texts, *self.texts.texts}
        self.shapes = [shape for shape in self.asked.shapes if self.asked.overlap(shape.filled("")) <= overlap]
        self.phrases = dict.fromkeys(self._said([*self.asked.texts, *(shape.filled("") for shape in self.shapes)]))
        self.worked: dict[str, list[Shape]] = {}  # phrases in whose shapes the model was sure
        self.fitting: dict[Shape, list[str]] = {}  # the same the other way round
        self.tried = self.ended = 0  # prompts written on, and those of them that had an end

    def round(self, wanted: int) -> list[Example]:
        """One round of up to `wanted` samples that no round had before, answered as surely as was asked for."""
        texts = self._texts(wanted if not self.asked.texts else wanted // 4) if self.texts.texts else []
        written = self._prompts(wanted) if self.asked.texts and self.chat is None and self.ending else []
        filled = self._filled(wanted - len(texts) - len(written)) if self.asked.texts and not self.fluent else {}
        samples = self._answered([*written, *filled])
        for example in samples:
            if (source := filled.get(prompt_of(example) or "")) is not None:
                self.worked.setdefault(source[1], []).append(source[0])
                self.fitting.setdefault(source[0], []).append(source[1])
        self.phrases |= dict.fromkeys(_phrases([answer_of(e) for e in samples]))
        return [*samples, *(Example(text=text) for text in texts)]

    @property
    def ability(self) -> float:
        """Of the prompts written on, the share that had an end."""
        return self.ended / self.tried if self.tried else 0.0

    @property
    def fluent(self) -> bool:
        """Does the model write prompts so well that no shape needs to be filled?"""
        return self.ability >= FLUENT

    def again(self, examples: Sequence[Example]) -> list[Example]:
        """The same questions, answered by the model as it is now."""
        return self._answered([prompt_of(e) or "" for e in examples])

    def _prompts(self, wanted: int) -> list[str]:
        """Prompts of the model's own: as many as are wanted once it has shown that it writes them, a quarter while it does so now and then, else none."""
        first = [] if self.tried else self._written_on(min(wanted, TRIED))
        if self.ability < SELDOM:
            return first
        return [*first, *self._written_on(max(0, (wanted if self.fluent else wanted // 4) - len(first)))]

    def _answered(self, prompts: list[str]) -> list[Example]:
        """Each prompt with the model's answer, where it has one and is sure; first asked for its first token alone, which is cheap."""
        asked = [self._example(prompt, "") for prompt in prompts]
        asked = [e for e, chance in zip(asked, first_chance(self.model, asked), strict=True) if chance >= self.confidence] if self.confidence else asked
        answers = self.model.generate(asked, self.limit) if asked else []
        samples = [e.answered(answer) for e, answer in zip(asked, answers, strict=True) if answer.strip()]
        if not self.confidence or not samples:
            return samples
        nats = self.model.score(samples, [[answer_of(e)] for e in samples])
        tokens = [len(ids) for ids in self.model.encoder.tokens([answer_of(e) for e in samples])]
        return [e for e, (value,), count in zip(samples, nats, tokens, strict=True) if exp(value / count) >= self.confidence]

    def _filled(self, wanted: int) -> dict[str, tuple[Shape, str]]:
        """Shapes with a phrase in their hole, by the prompt that makes."""
        prompts: dict[str, tuple[Shape, str]] = {}
        if not self.shapes or not self.phrases:
            return prompts
        phrases, weights = list(self.phrases), [shape.weight for shape in self.shapes]
        for shape in self.random.choices(self.shapes, weights, k=3 * wanted):
            chosen = self._chosen(shape, phrases)
            if len(prompts) < wanted:
                prompts |= dict.fromkeys(self._fresh(chosen[0].filled(chosen[1]), self.asked), chosen)
        return prompts

    def _chosen(self, shape: Shape, phrases: Sequence[str]) -> tuple[Shape, str]:
        """Any phrase, one that worked elsewhere, or one that worked in a shape which shares a phrase with a shape that worked."""
        chance = self.random.random()
        if not self.confidence or not self.worked or chance < EXPLORED:
            phrase = self.random.choice(phrases)
            return shape, crossed(phrase, self.random.choice(phrases), self.random) if self.random.random() < CROSSED else phrase
        if chance < (1 + EXPLORED) / 2:
            return shape, self.random.choice(list(self.worked))
        shape = self.random.choice(list(self.fitting))
        kin = self.random.choice(self.worked[self.random.choice(self.fitting[shape])])
        return shape, self.random.choice(self.fitting[kin])

    def _written_on(self, wanted: int) -> list[str]:
        """Prompts that the model wrote from nothing, or from the beginning of a given one, up to the ending that given ones have."""
        leads = self._cut(self.asked, wanted)
        texts = self.model.sample([Example(prompt=lead) for lead in leads], self.longest, self.sampling, self.random, not self.one_line) if leads else []
        if self.one_line:  # the rest of its ending is no question of what the model knows
            texts = [text.removesuffix("\n") + self.ending if text.endswith("\n") else "" for text in texts]
        ended = [lead + text[: text.index(self.ending) + len(self.ending)] for lead, text in zip(leads, texts, strict=True) if self.ending in text]
        self.tried, self.ended = self.tried + len(leads), self.ended + len(ended)
        return [prompt for text in ended for prompt in self._fresh(text, self.asked)]

    def _texts(self, wanted: int) -> list[str]:
        """Texts that the model wrote; one that says the same again and again is no text."""
        leads = self._cut(self.texts, wanted)
        texts = self.model.sample([Example(prompt=lead) for lead in leads], self.longest, self.sampling, self.random, lines=True) if leads else []
        whole = [lead + text for lead, text in zip(leads, texts, strict=True) if len(pairs := words(text)) < 2 * len(set(pairwise(pairs)))]
        return [text for given in whole for text in self._fresh(given, self.texts)]

    def _cut(self, given: Prompts, wanted: int) -> list[str]:
        """Beginnings: half of them what all given texts begin with (often nothing), half cut at a random word before what a given text is about."""
        leads, bare = [words(lead) for lead in given.leads()], words(_beginning(given.texts))
        chosen = [lead[: self.random.randint(min(len(bare), len(lead)), len(lead))] for lead in self.random.choices(leads, k=wanted - wanted // 2)]
        return ["".join(cut).rstrip(" ") for cut in (*[bare] * (wanted // 2), *chosen)]

    def _fresh(self, text: str, given: Prompts) -> list[str]:
        """The text, if it is neither known nor near what is new."""
        if text in self.known or given.overlap(text) > self.overlap:
            return []
        self.known.add(text)
        return [text]

    def _said(self, prompts: Sequence[str]) -> list[str]:
        """What the model says to these, as phrases that can fill a hole."""
        if not prompts:
            return []
        return _phrases(self.model.sample([self._example(prompt, "") for prompt in prompts], self.limit, self.sampling, self.random))

    def _example(self, prompt: str, answer: str) -> Example:
        """In the form that was given: a prompt and its completion, or the last turns of a conversation."""
        if self.chat is None:
            return Example(prompt=prompt, completion=answer)
        before = tuple(turn for turn in self.chat if turn["role"] == "system")
        return Example(messages=(*before, {"role": "user", "content": prompt}, {"role": "assistant", "content": answer}))


def first_chance(model: TrainedModel, prompts: Sequence[Example]) -> list[float]:
    """The probability of the likeliest first token of each answer, in one forward pass."""
    rows = [Row(e, (*tokens, model.encoder.end), (len(tokens),)) for e, tokens in zip(prompts, model.encoder.prompts(prompts), strict=True)]
    chances: dict[int, float] = {}
    with as_found(model.module), torch.inference_mode():
        for part in by_length(rows, MOST_TOKENS, MOST_TOKENS // 4):
            found = model.logits(model.batch(part)).logits.float().softmax(1).max(1).values.tolist()
            chances |= {id(row): chance for row, chance in zip(part, found, strict=True)}
    return [chances[id(row)] for row in rows]


def asked_in(given: Sequence[Example]) -> Prompts:
    """The questions of these examples, with their answers."""
    return Prompts((text, answer_of(e)) for e in given if (text := prompt_of(e)) is not None)


def prompt_of(example: Example) -> str | None:
    """What is asked: the prompt, or the user's last turn; None for plain text."""
    if example.messages is not None:
        return next((turn["content"] for turn in reversed(example.messages) if turn["role"] == "user"), None)
    return example.prompt


def answer_of(example: Example) -> str:
    """What was answered to `prompt_of`."""
    return example.messages[-1]["content"] if example.messages is not None else example.completion or ""


def _phrases(answers: Sequence[str]) -> list[str]:
    """Short answers without the marks around them, once each."""
    bare = (answer.split("\n")[0].strip(" .,;:!?。") for answer in answers)
    return list(dict.fromkeys(phrase for phrase in bare if phrase and "\ufffd" not in phrase and len(words(phrase)) <= LONGEST_PHRASE))


def _beginning(texts: Sequence[str]) -> str:
    """What all texts begin with, in whole words."""
    return "".join(here[0] for here in takewhile(lambda here: len(set(here)) == 1, zip(*map(words, texts), strict=False)))


def _one_line(prompts: Sequence[str], ending: str) -> bool:
    """Does what is written end with its first line break: none stands between what all prompts begin with and their ending."""
    first = len(_beginning(prompts))
    return ending.startswith("\n") and all("\n" not in text[first:].removesuffix(ending) for text in prompts)


def _ending(prompts: Sequence[str]) -> str:
    """The last line of most prompts with its line break, or their last word: where a written prompt ends and its answer begins."""
    endings = Counter(text[text.rindex("\n") :] if "\n" in text else "".join(words(text)[-2:]) for text in prompts)
    ending, count = endings.most_common(1)[0] if endings else ("", 0)
    return ending if count * 4 >= len(prompts) else ""
