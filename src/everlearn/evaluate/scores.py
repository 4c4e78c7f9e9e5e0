"""The kinds of score: one number an example, and the corpus figures that papers quote."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from everlearn.errors import MissingExtra
from everlearn.models.language import LanguageModel
from everlearn.types import Example, Score

SPARE_TOKENS = 8  # an answer may be this much longer than the longest right one
# Written without spaces between words: Chinese, Japanese.
_ALONE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_HAN = re.compile(f"[{_ALONE}]")
_WORDS = re.compile(f"[{_ALONE}]|[^\\W_{_ALONE}]+")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the model made of one test example.

    value: the score, 0 to 1, higher is better.   said: the text it gave or chose ("" for loss).   old: it gave what was true before.
    """

    value: float
    said: str
    old: bool


def right(example: Example) -> str | None:
    """The right answer of a test row, None for plain text."""
    return example.messages[-1]["content"] if example.messages else example.completion


def asked(example: Example) -> Example:
    """What the model under test is shown: the prompt alone, or the conversation before its last turn; no answer, task, id or source."""
    if example.messages:
        return Example(messages=(*example.messages[:-1], {"role": "assistant", "content": ""}))
    return Example(prompt=example.prompt, completion="") if example.text is None else Example(text="")


def same(said: str, wanted: str | None) -> bool:
    """Equal up to white space.

    >>> same(" New  Delhi", "New Delhi "), same("delhi", "Delhi"), same("", None)
    (True, False, False)
    """
    return wanted is not None and said.split() == wanted.split()


def size(text: str) -> int:
    """Its length in UTF-8 bytes, at least 1."""
    return len(text.encode("utf-8", "replace")) or 1


def said_by(model: LanguageModel, examples: Sequence[Example]) -> list[str]:
    """The model's greedy answers; over line breaks where a right answer has one, at most 8 tokens longer than the longest right one."""
    wanted = [right(e) or "" for e in examples]
    longest = max(map(len, model.encoder.tokens(wanted)))
    return model.generate([asked(e) for e in examples], longest + SPARE_TOKENS, lines=any("\n" in text.strip() for text in wanted))


def _generated(value: Callable[[str, str], float]) -> Callable[[LanguageModel, Sequence[Example]], list[Answer]]:
    """The scorer that generates and gives each answer `value(said, right)`."""

    def scored(model: LanguageModel, examples: Sequence[Example]) -> list[Answer]:
        pairs = zip(examples, said_by(model, examples), strict=True)
        return [Answer(value(text, right(e) or ""), text, same(text, e.old_completion)) for e, text in pairs]

    return scored


def exact(said: str, wanted: str) -> float:
    """1 where the answer is the right one, white space collapsed and case kept."""
    return float(same(said, wanted))


def chrf(said: str, wanted: str) -> float:
    """The sentence's chrF2 (Popović 2015; sacrebleu), 0 to 1."""
    return float(chrf_metric().sentence_score(said.strip(), [wanted.strip()]).score) / 100


def bleu(said: str, wanted: str) -> float:
    """The sentence's BLEU (Papineni et al. 2002; sacrebleu) up to the order that its length allows, 0 to 1; Chinese by character."""
    return float(bleu_metric(has_han(wanted)).sentence_score(said.strip(), [wanted.strip()]).score) / 100


def rouge(said: str, wanted: str) -> float:
    """ROUGE-L's F1 (Lin 2004; rouge-score), words of any script lower-cased and Chinese by character, 0 to 1."""
    return rouges(said, wanted)["rougeL"]


def rouges(said: str, wanted: str) -> dict[str, float]:
    """rouge1, rouge2 and rougeL, each the F1; 1 for an answer equal to the right one, also if it has no words.

    >>> round(rouges("the cat sat", "the cat sat down")["rougeL"], 3), rouges("上海很大", "上海很美")["rouge1"]
    (0.857, 0.75)
    """
    found = rouge_scorer().score(wanted, said)
    return {name: 1.0 if same(said, wanted) else float(score.fmeasure) for name, score in found.items()}


def has_han(text: str) -> bool:
    """Does it hold a letter of a script written without spaces (Chinese, Japanese)."""
    return _HAN.search(text) is not None


class Words:
    """ROUGE's tokenizer for any script: lower-cased words, and each Chinese or Japanese letter by itself.

    >>> Words().tokenize("Das Öl kostet 5 元。")
    ['das', 'öl', 'kostet', '5', '元']
    """

    def tokenize(self, text: str) -> list[str]:
        return _WORDS.findall(text.lower())


def _choice(model: LanguageModel, examples: Sequence[Example]) -> list[Answer]:
    """1 where the right choice is the likeliest per UTF-8 byte, ties counted against it."""
    return [Answer(float(rank == 1), best, best == e.old_completion) for e, rank, best in _ranked(model, examples)]


def _ranking(model: LanguageModel, examples: Sequence[Example]) -> list[Answer]:
    """1 / rank of the right choice by likelihood per UTF-8 byte, ties counted against it: its mean is MRR."""
    return [Answer(1 / rank, best, best == e.old_completion) for e, rank, best in _ranked(model, examples)]


def _ranked(model: LanguageModel, examples: Sequence[Example]) -> Iterator[tuple[Example, int, str]]:
    """Each example with the rank of its right choice, from 1, and the likeliest choice. What is no number (a model that diverged) ranks last."""
    for example, given in zip(examples, per_byte(model, examples), strict=True):
        nats = [-math.inf if math.isnan(value) else value for value in given]
        mine = nats[example.choices.index(right(example) or "")]
        best = max(zip(nats, example.choices, strict=True), key=lambda pair: pair[0])[1]
        yield example, sum(other >= mine for other in nats), best


def per_byte(model: LanguageModel, examples: Sequence[Example]) -> list[list[float]]:
    """The log-likelihood of each choice in nats per UTF-8 byte."""
    scores = model.score([asked(e) for e in examples], [e.choices for e in examples])
    return [[nats / size(text) for nats, text in zip(given, e.choices, strict=True)] for e, given in zip(examples, scores, strict=True)]


def _loss(model: LanguageModel, examples: Sequence[Example]) -> list[Answer]:
    """exp(-nats per UTF-8 byte) of the text, or of the completion after its prompt."""
    texts = [right(e) or e.text or "" for e in examples]
    nats = model.score([asked(e) for e in examples], [[text] for text in texts])
    return [Answer(math.exp(value / size(text)), "", False) for (value,), text in zip(nats, texts, strict=True)]


SCORERS: Mapping[Score, Callable[[LanguageModel, Sequence[Example]], list[Answer]]] = {
    "exact": _generated(exact),
    "choice": _choice,
    "loss": _loss,
    "chrf": _generated(chrf),
    "bleu": _generated(bleu),
    "rouge": _generated(rouge),
    "ranking": _ranking,
}


def corpus_measures(kind: Score, wanted: Sequence[str], given: Sequence[Answer]) -> dict[str, float]:
    """The figures that papers quote for a whole test set, 0 to 1, named; none for exact, choice and loss, whose mean is the figure.

    wanted: the right answers, in the order of `given`.   chrF2 and BLEU are corpus scores, not means of sentences.
    """
    if kind in ("chrf", "bleu"):
        said, references = [answer.said.strip() for answer in given], [[text.strip() for text in wanted]]
        han = any(map(has_han, wanted))
        corpus = {"chrF2": chrf_metric(), f"BLEU-{'zh' if han else '13a'}": bleu_metric(han, corpus=True)}
        return {name: float(metric.corpus_score(said, references).score) / 100 for name, metric in corpus.items()}
    if kind == "rouge":
        every = [rouges(answer.said, text) for answer, text in zip(given, wanted, strict=True)]
        return {name: sum(scores[name] for scores in every) / len(every) for name in ("rouge1", "rouge2", "rougeL")}
    if kind == "ranking":
        ranks = [round(1 / answer.value) for answer in given]
        gain = {at: sum(1 / math.log2(rank + 1) for rank in ranks if rank <= at) / len(ranks) for at in (5, 10)}
        return {"MRR": sum(1 / rank for rank in ranks) / len(ranks), "nDCG@5": gain[5], "nDCG@10": gain[10], "hit@1": ranks.count(1) / len(ranks)}
    return {}


def guess(kind: Score, examples: Sequence[Example]) -> float | None:
    """The score of a guess: one of the choices, for ranking their random order, for exact always the commonest right answer; else None."""
    if kind == "exact":
        answers = [" ".join((right(e) or "").split()) for e in examples]
        return Counter(answers).most_common(1)[0][1] / len(answers)
    if kind == "choice":
        return sum(1 / len(e.choices) for e in examples) / len(examples)
    if kind == "ranking":
        return sum(sum(1 / rank for rank in range(1, len(e.choices) + 1)) / len(e.choices) for e in examples) / len(examples)
    return None


@lru_cache
def chrf_metric() -> Any:
    return _sacrebleu().CHRF()


@lru_cache
def bleu_metric(han: bool, corpus: bool = False) -> Any:
    return _sacrebleu().BLEU(tokenize="zh" if han else "13a", effective_order=not corpus)


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as problem:
        raise MissingExtra("chrf and bleu need sacrebleu, which is not installed (score='chrf' or 'bleu'). Run pip install 'everlearn[scores]'.") from problem
    return metrics


@lru_cache
def rouge_scorer() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as problem:
        raise MissingExtra("rouge needs rouge-score, which is not installed (score='rouge'). Run pip install 'everlearn[scores]'.") from problem
    return RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Words())
