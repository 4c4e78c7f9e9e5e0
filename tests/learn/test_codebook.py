"""Codebook: edits are answered, others untouched bit for bit, deleting undoes exactly, each row of a batch has its own code."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from everlearn import Codebook, DataError, Example, Experience, Gradient, ModelError, Replay, SettingError, Settings, StateError, load_model
from everlearn.learn.bounds import Frozen
from everlearn.learn.routed_adapters import RoutedAdapters
from everlearn.memory.codebook import CodebookModel, put, since
from everlearn.models.feed_forward import feed_forwards, last_projections, place_of

KNOWN = [Example(prompt=f"Question: What is {n} plus 5?\nAnswer:", completion=f" {n + 5}") for n in range(2, 12)]
ANSWERS = ("Bramcombe", "violin", "Hartbury", "Comet Press")
EDITS = [Example(prompt=f"Question: Who is the keeper of gate {n}?\nAnswer:", completion=f" {name}") for n, name in enumerate(ANSWERS, 3)]


def coded(rows: Sequence[Example] = EDITS, **given: object) -> tuple[Codebook, CodebookModel]:
    learner = Codebook(**given).around(Frozen())  # type: ignore[arg-type]
    assert isinstance(learner, Codebook)
    model = load_model("tiny")
    served = learner.prepare(model)
    learner.learn(model, Experience("today", tuple(rows)))
    return learner, served


def said(served: CodebookModel, rows: Sequence[Example]) -> list[str]:
    return served.generate(rows, limit=8)


def nats(served: CodebookModel, rows: Sequence[Example]) -> list[list[float]]:
    return served.score(rows, [[row.completion or ""] for row in rows])


def test_edits_are_said_and_scored_in_any_batch_and_the_rest_stays_bit_for_bit() -> None:
    learner, served = coded()
    mixed = [KNOWN[0], EDITS[2], EDITS[0], KNOWN[1], EDITS[3], EDITS[1]]
    assert said(served, mixed) == [row.completion for row in mixed]
    assert [said(served, [row])[0] for row in mixed] == [row.completion for row in mixed]
    assert all(value[0] < 1.0 for value in nats(served, EDITS)), "teacher-forced as generated"
    plain = load_model("tiny")
    assert nats(served, KNOWN) == nats_of(plain, KNOWN)
    assert all(torch.equal(a, b) for a, b in zip(learner.model.module.state_dict().values(), plain.module.state_dict().values(), strict=True))


def nats_of(model: object, rows: Sequence[Example]) -> list[list[float]]:
    return model.score(rows, [[row.completion or ""] for row in rows])  # type: ignore[attr-defined, no-any-return]


def test_answers_of_several_tokens_that_the_model_never_says_are_said() -> None:
    rows = [Example(prompt=f"Question: {asks}?\nAnswer:", completion=f" {says}") for asks, says in {"Who sings": "Maria Lopez", "Who is it": "Ann"}.items()]
    assert said(coded(rows)[1], rows) == [row.completion for row in rows]
    assert said(coded(rows, tokens=1)[1], rows) != [row.completion for row in rows], "one value for all tokens cannot"


def test_after_the_last_value_it_goes_on_standing() -> None:
    out, values = torch.zeros(1, 5, 1), torch.tensor([[[1.0], [2.0]]])
    assert put(out, values, since(torch.tensor([1]), 5))[0, :, 0].tolist() == [0, 1, 2, 2, 2]


def test_deleting_undoes_exactly() -> None:
    learner, served = coded()
    before = nats_of(load_model("tiny"), EDITS)
    assert learner.delete([EDITS[1].id, "unknown"]) == 1
    assert nats(served, EDITS)[1] == before[1]
    assert said(served, EDITS)[2] == EDITS[2].completion
    assert learner.delete([row.id for row in EDITS]) == 3
    assert nats(served, EDITS) == before


def test_a_newer_answer_takes_the_place_of_the_older() -> None:
    learner, served = coded()
    newer = EDITS[0].answered(" lute")
    learner.learn(learner.model, Experience("tomorrow", (newer,)))
    assert said(served, EDITS[:2]) == [" lute", EDITS[1].completion]
    learner.delete([newer.id])
    assert said(served, EDITS[:1]) == [EDITS[0].completion]


def test_what_is_right_already_gets_no_code() -> None:
    assert len(coded(KNOWN)[0].codes) == 0


def test_a_saved_state_gives_the_same_answers_bit_for_bit() -> None:
    learner, served = coded()
    other = Codebook().around(Frozen())
    again = other.prepare(load_model("tiny"))
    other.load(learner.state())
    rows = [*EDITS, *KNOWN]
    assert again.score(rows, [[r.completion or ""] for r in rows]) == nats(served, rows)


def test_around_learning_weights_the_codes_follow_them() -> None:
    model = load_model("tiny")
    learner = Codebook().around(Gradient([Replay(share=1)], Settings(rate=3e-4, passes=1, batch=8)))
    served = learner.prepare(model)
    for name, rows in (("one", EDITS[:2]), ("two", EDITS[2:])):
        learner.learn(model, Experience(name, tuple(rows)))
        assert said(served, rows) == [row.completion for row in rows]  # type: ignore[arg-type]
    assert said(served, EDITS) == [row.completion for row in EDITS]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"radius": 0}, "codebook radius must be at least"),
        ({"steps": 0}, "codebook steps must be at least 1, got 0"),
        ({"rate": 0}, "codebook rate must be at least"),
        ({"tokens": 0}, "codebook tokens must be at least 1, got 0"),
        ({"layer": 4}, "codebook layer must be between -4 and 3, got 4"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        Codebook(**given).around(Frozen()).prepare(load_model("tiny"))  # type: ignore[arg-type]


def test_mistakes_are_told() -> None:
    learner = Codebook().around(Frozen())
    model = load_model("tiny")
    learner.prepare(model)
    with pytest.raises(DataError, match="no row here asks .experience='texts', examples=1"):
        learner.learn(model, Experience("texts", (Example(text="No question."),)))
    with pytest.raises(StateError, match="no codebook's .keys=.'x'."):
        learner.load({"x": 1})
    with pytest.raises(SettingError, match="codebook stands on the model itself .beneath='RoutedModel'"):
        Codebook().around(RoutedAdapters(rank=2).around(Gradient())).prepare(load_model("tiny"))


def test_blocks_are_found_or_it_is_said() -> None:
    model = load_model("tiny")
    assert [type(part).__name__ for part in feed_forwards(model)] == ["LlamaMLP"] * 4
    assert len(last_projections(model)) == 4
    assert (place_of("x", -1, 4), place_of("x", 0, 4)) == (3, 0)
    model.module.config.num_hidden_layers = 7
    with pytest.raises(ModelError, match="this model's blocks are not known"):
        feed_forwards(model)
