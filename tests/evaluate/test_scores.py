"""Every kind of score against sacrebleu, rouge-score, scikit-learn, or a case by hand."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence

import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

from everlearn import CausalModel, Example
from everlearn.evaluate.scores import SCORERS, Answer, Words, bleu, chrf, corpus_measures, guess, rouge, rouges
from everlearn.types import Score

SAID = ["the cat sat on the mat", "a dog barks", "Der Zug fährt um acht ab.", "it rains", "nothing at all"]
WANTED = ["the cat sat on a mat", "the dog barks loudly", "Der Zug fährt um neun Uhr ab.", "it rains", "something else"]
SAID_ZH, WANTED_ZH = ["上海的天气很好", "他昨天去了北京"], ["上海今天天气很好", "他昨天去北京了"]


class Scripted:
    """A LanguageModel with set answers and likelihoods."""

    def __init__(self, tiny: CausalModel, said: Sequence[str] = (), nats: Sequence[Sequence[float]] = ()) -> None:
        self.encoder, self.said, self.nats, self.lines = tiny.encoder, list(said), [list(row) for row in nats], False

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        self.lines = lines
        return self.said

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return self.nats


def asked(wanted: Sequence[str]) -> list[Example]:
    return [Example(prompt=f"Q{number}", completion=text) for number, text in enumerate(wanted)]


def test_chrf_by_hand() -> None:
    """abc against abd: 2 of 3 letters, 1 of 2 pairs, 0 of 1 triples on both sides, so F = P = R = (2/3 + 1/2 + 0) / 3."""
    assert chrf("abc", "abd") == pytest.approx((2 / 3 + 1 / 2) / 3, abs=1e-9)
    assert (chrf("  same ", "same"), chrf("abc", "xyz")) == (1, 0)


def test_bleu_by_hand() -> None:
    """Six words, 5 of 6 right, 3 of 5 pairs, 2 of 4 triples, 1 of 3 quadruples; lengths are equal."""
    assert bleu(SAID[0], WANTED[0]) == pytest.approx((5 / 6 * 3 / 5 * 2 / 4 * 1 / 3) ** 0.25, abs=1e-9)
    assert bleu("it rains", "it rains") == pytest.approx(1)


def test_rouge_by_hand() -> None:
    """Five of six words in order both ways; Chinese: the longest common letters in order are 上海天气很好, six of seven and of eight."""
    assert rouge(SAID[0], WANTED[0]) == pytest.approx(5 / 6)
    assert rouge(SAID_ZH[0], WANTED_ZH[0]) == pytest.approx(2 * 6 / (7 + 8))
    assert rouge("🙂", "🙂") == 1
    assert Words().tokenize("Don't MIX 东京タワー_x9") == ["don", "t", "mix", "东", "京", "タ", "ワ", "ー", "x9"]


def test_sentence_scores_are_sacrebleus_and_rouge_scores() -> None:
    for said, wanted in zip(SAID, WANTED, strict=True):
        assert chrf(said, wanted) == pytest.approx(sacrebleu.sentence_chrf(said, [wanted]).score / 100)
        assert bleu(said, wanted) == pytest.approx(sacrebleu.sentence_bleu(said, [wanted]).score / 100)
        theirs = RougeScorer(["rouge1", "rouge2", "rougeL"]).score(wanted.replace("ä", "a"), said.replace("ä", "a"))
        assert rouges(said.replace("ä", "a"), wanted.replace("ä", "a")) == {name: pytest.approx(value.fmeasure) for name, value in theirs.items()}
    for said, wanted in zip(SAID_ZH, WANTED_ZH, strict=True):
        assert bleu(said, wanted) == pytest.approx(sacrebleu.sentence_bleu(said, [wanted], tokenize="zh").score / 100)
        assert 0.3 < bleu(said, wanted) < 0.9  # by character: as whole words nothing would match


@pytest.mark.parametrize(("said", "wanted", "name"), [(SAID, WANTED, "BLEU-13a"), (SAID_ZH, WANTED_ZH, "BLEU-zh")])
def test_corpus_scores_are_sacrebleus(said: list[str], wanted: list[str], name: str) -> None:
    given = [Answer(0, text, False) for text in said]
    for kind in ("chrf", "bleu"):
        found = corpus_measures(kind, wanted, given)  # type: ignore[arg-type]
        assert found["chrF2"] == pytest.approx(sacrebleu.corpus_chrf(said, [wanted]).score / 100)
        assert found[name] == pytest.approx(sacrebleu.corpus_bleu(said, [wanted], tokenize=name.removeprefix("BLEU-")).score / 100)
    assert sum(map(bleu, SAID, WANTED)) / len(SAID) != pytest.approx(corpus_measures("bleu", WANTED, [Answer(0, t, False) for t in SAID])["BLEU-13a"], abs=0.01)


def test_corpus_rouge_is_the_mean_of_its_f1() -> None:
    found = corpus_measures("rouge", WANTED, [Answer(0, text, False) for text in SAID])
    assert found["rougeL"] == pytest.approx(sum(map(rouge, SAID, WANTED)) / len(SAID))
    assert set(found) == {"rouge1", "rouge2", "rougeL"}


def test_ranking_is_scikit_learns(shared_tiny: CausalModel) -> None:
    """Twenty choices of equal length, random likelihoods; one relevant, so LRAP is MRR."""
    drawn, choices = random.Random(0), tuple(f" film {number:02}" for number in range(20))
    nats = [[drawn.uniform(-9, -1) for _ in choices] for _ in range(30)]
    places = [drawn.randrange(20) for _ in nats]
    examples = [Example(prompt=f"Q{n}", completion=choices[at], choices=choices) for n, at in enumerate(places)]
    given = SCORERS["ranking"](Scripted(shared_tiny, nats=nats), examples)
    truth = np.eye(20)[places]
    found = corpus_measures("ranking", [], given)
    assert found["MRR"] == pytest.approx(label_ranking_average_precision_score(truth, np.array(nats)))
    assert found["MRR"] == pytest.approx(sum(answer.value for answer in given) / len(given))
    for at in (5, 10):
        assert found[f"nDCG@{at}"] == pytest.approx(ndcg_score(truth, np.array(nats), k=at))
    assert found["hit@1"] == sum(row[at] == max(row) for row, at in zip(nats, places, strict=True)) / 30


def test_ranking_counts_bytes_and_ties_against_the_right_one(shared_tiny: CausalModel) -> None:
    """北京 has six bytes: -6 nats are -1 a byte, as -2 of xy; the tie counts against what was right."""
    row = Example(prompt="Q", completion="北京", choices=("北京", "xy", "z"))
    given = SCORERS["ranking"](Scripted(shared_tiny, nats=[[-6.0, -2.0, -3.0]]), [row])
    assert (given[0].value, given[0].said) == (0.5, "北京")


@pytest.mark.parametrize("nats", [[math.nan, math.nan, math.nan], [-1.0, -1.0, -2.0]])
def test_the_first_choice_is_not_right_for_being_first(shared_tiny: CausalModel, nats: list[float]) -> None:
    """Of a model that diverged, or cannot tell two choices apart, nothing is right."""
    row = Example(prompt="Q", completion="a", choices=("a", "b", "c"))
    assert SCORERS["choice"](Scripted(shared_tiny, nats=[nats]), [row])[0].value == 0
    assert SCORERS["ranking"](Scripted(shared_tiny, nats=[nats]), [row])[0].value < 1


def test_answers_of_several_lines_are_asked_for_as_such(shared_tiny: CausalModel) -> None:
    model = Scripted(shared_tiny, ["one\ntwo"])
    assert SCORERS["rouge"](model, asked(["one\ntwo"]))[0].value == 1
    assert model.lines
    SCORERS["rouge"](model, asked(["one two\n"]))
    assert not model.lines


def test_generation_goes_on_over_line_breaks(shared_tiny: CausalModel) -> None:
    prompt = [Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion="")]
    assert shared_tiny.generate(prompt, 4, lines=True)[0].split("\n")[0] == shared_tiny.generate(prompt, 4)[0]


def test_text_scores_note_the_old_answer(shared_tiny: CausalModel) -> None:
    row = Example(prompt="Q", completion=" Bo", old_completion=" Ann")
    for kind in ("exact", "chrf", "bleu", "rouge"):
        assert SCORERS[kind](Scripted(shared_tiny, ["Ann"]), [row])[0].old  # type: ignore[index]


@pytest.mark.parametrize(
    ("kind", "examples", "chance"),
    [
        ("exact", [Example(prompt=str(n), completion=text) for n, text in enumerate((" a", "a ", "b", "c"))], 0.5),
        ("choice", [Example(prompt="Q", completion="a", choices=("a", "b")), Example(prompt="R", completion="a", choices=("a", "b", "c", "d"))], 0.375),
        ("ranking", [Example(prompt="Q", completion="a", choices=("a", "b", "c"))], (1 + 1 / 2 + 1 / 3) / 3),
        ("loss", [Example(text="a")], None),
        ("chrf", [Example(prompt="Q", completion="a")], None),
    ],
)
def test_chance_levels(kind: Score, examples: list[Example], chance: float | None) -> None:
    assert guess(kind, examples) == (pytest.approx(chance) if chance is not None else None)


def test_the_mean_of_exact_choice_and_loss_is_the_figure_itself() -> None:
    assert [corpus_measures(kind, ["a"], [Answer(1, "a", False)]) for kind in ("exact", "choice", "loss")] == [{}, {}, {}]  # type: ignore[arg-type]
    assert math.isclose(corpus_measures("ranking", [], [Answer(1 / 7, "", False)])["nDCG@10"], 1 / 3)
