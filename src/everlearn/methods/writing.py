"""What a model writes by itself: prompts in the shapes of given ones, texts, and its own answers to them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random

from everlearn.models.sampling import Sampling
from everlearn.models.weights import TrainedModel
from everlearn.replay.shapes import Prompts, crossed, words
from everlearn.types import Example

CROSSED = 0.3  # of the phrases that fill a shape, the share put together from two; names nobody gave come from here
LONGEST_PHRASE = 8  # words and spaces; longer answers are no names


class Writer:
    """Samples in the forms of the given examples: shapes filled with the model's own phrases, and prompts or texts written on from a beginning."""

    def __init__(self, model: TrainedModel, given: Sequence[Example], limit: int, sampling: Sampling, overlap: float, random: Random) -> None:
        self.model, self.limit, self.sampling, self.overlap, self.random = model, limit, sampling, overlap, random
        self.asked = Prompts([text for e in given if (text := prompt_of(e)) is not None])
        self.texts = Prompts([e.text for e in given if e.text is not None])
        self.chat = next((e.messages for e in given if e.messages is not None), None)
        self.ending = _ending(self.asked.texts)
        self.longest = max((len(ids) for ids in model.encoder.tokens([*self.asked.texts, *self.texts.texts])), default=1)
        self.known = {*self.asked.texts, *self.texts.texts}
        self.shapes = [shape for shape in self.asked.shapes if not self._near(shape.filled(""))]
        self.phrases = self._said([*self.asked.texts, *(shape.filled("") for shape in self.shapes)])
        self.writes = True  # until a round shows that it cannot

    def round(self, wanted: int, found: dict[str, Example]) -> list[Example]:
        """One round of up to `wanted` answered samples that are not yet `found`."""
        texts = self._texts(wanted if not self.asked.texts else wanted // 4) if self.texts.texts else []
        written = self._written_on(wanted // 4) if self.writes and self.chat is None and self.ending else []
        self.writes = self.writes and len(written) * 10 >= wanted // 4
        filled = self._filled(wanted - len(texts) - len(written)) if self.asked.texts else []
        answers = self.model.generate([self._example(prompt, "") for prompt in [*written, *filled]], self.limit) if written or filled else []
        samples = [self._example(prompt, answer) for prompt, answer in zip([*written, *filled], answers, strict=True) if answer.strip()]
        self.phrases += [phrase for phrase in _phrases(answers) if phrase not in set(self.phrases)]
        return [e for e in (*samples, *(Example(text=text) for text in texts)) if e.id not in found]

    def _filled(self, wanted: int) -> list[str]:
        """Shapes with one of the model's phrases, or one put together from two, in their hole."""
        prompts: list[str] = []
        if not self.shapes or not self.phrases:
            return prompts
        for shape in self.random.choices(self.shapes, [shape.weight for shape in self.shapes], k=3 * wanted):
            phrase = self.random.choice(self.phrases)
            if self.random.random() < CROSSED:
                phrase = crossed(phrase, self.random.choice(self.phrases), self.random)
            prompts += self._fresh(shape.filled(phrase), self.asked) if len(prompts) < wanted else []
        return prompts

    def _written_on(self, wanted: int) -> list[str]:
        """Prompts that the model wrote from nothing, or from the beginning of a given one, up to the ending that given ones have."""
        leads = self._cut(self.asked, wanted)
        texts = self.model.sample([Example(prompt=lead) for lead in leads], self.longest, self.sampling, self.random, lines=True) if leads else []
        ended = [lead + text[: text.index(self.ending) + len(self.ending)] for lead, text in zip(leads, texts, strict=True) if self.ending in text]
        return [prompt for text in ended for prompt in self._fresh(text, self.asked)]

    def _texts(self, wanted: int) -> list[str]:
        """Texts that the model wrote; one that says the same again and again is no text."""
        leads = self._cut(self.texts, wanted)
        texts = self.model.sample([Example(prompt=lead) for lead in leads], self.longest, self.sampling, self.random, lines=True) if leads else []
        whole = [lead + text for lead, text in zip(leads, texts, strict=True) if len(pairs := words(text)) < 2 * len(set(pairwise(pairs)))]
        return [text for given in whole for text in self._fresh(given, self.texts)]

    def _cut(self, given: Prompts, wanted: int) -> list[str]:
        """Beginnings, cut at a random word before what the given text is about; the empty one comes often."""
        leads = [words(lead) for lead in given.leads()]
        chosen = [self.random.choice(leads) for _ in range(wanted)]
        return ["".join(lead[: self.random.randint(0, len(lead))]).rstrip(" ") for lead in chosen]

    def _fresh(self, text: str, given: Prompts) -> list[str]:
        """The text, if it is neither known nor near what is new."""
        if text in self.known or given.overlap(text) > self.overlap:
            return []
        self.known.add(text)
        return [text]

    def _near(self, text: str) -> bool:
        return self.asked.overlap(text) > self.overlap

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


def prompt_of(example: Example) -> str | None:
    """What is asked: the prompt, or the user's last turn; None for plain text."""
    if example.messages is not None:
        return next((turn["content"] for turn in reversed(example.messages) if turn["role"] == "user"), None)
    return example.prompt


def answer_of(example: Example) -> str:
    """What was answered to `prompt_of`."""
    return example.messages[-1]["content"] if example.messages is not None else example.completion or ""


def answered(example: Example, answer: str) -> Example:
    """The same question with this answer, as an example of its own."""
    if example.messages is not None:
        return replace(example, messages=(*example.messages[:-1], {**example.messages[-1], "content": answer}), id="")
    return replace(example, completion=answer, id="")


def _phrases(answers: Sequence[str]) -> list[str]:
    """Short answers without the marks around them, once each."""
    bare = (answer.split("\n")[0].strip(" .,;:!?。") for answer in answers)
    return list(dict.fromkeys(phrase for phrase in bare if phrase and "\ufffd" not in phrase and len(words(phrase)) <= LONGEST_PHRASE))


def _ending(prompts: Sequence[str]) -> str:
    """The last line of most prompts with its line break, or their last word: where a written prompt ends and its answer begins."""
    endings = Counter(text[text.rindex("\n") :] if "\n" in text else "".join(words(text)[-2:]) for text in prompts)
    ending, count = endings.most_common(1)[0] if endings else ("", 0)
    return ending if count * 4 >= len(prompts) else ""
