"""kNN-LM: what was read is said, the rest stays, what is taken out is as if it had never been read."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from everlearn import KNNLM, Example, Experience, Gradient, Replay, SettingError, Settings, StateError, load_model
from everlearn.learn.bounds import Frozen
from everlearn.learn.routed_adapters import RoutedAdapters
from everlearn.memory.knn_lm import NeighbourModel, mixed
from everlearn.memory.neighbours import Neighbours

KNOWN = [Example(prompt=f"Question: What is {n} plus 5?\nAnswer:", completion=f" {n + 5}") for n in range(2, 12)]
RIVERS = {"Penwick": "Brue", "Hartbury": "Itchen", "Longhaven": "Lune"}
FACTS = [Example(prompt=f"Question: What is the river of {town}?\nAnswer:", completion=f" {river}") for town, river in RIVERS.items()]


def read(rows: Sequence[Example] = FACTS, **given: object) -> tuple[KNNLM, NeighbourModel]:
    learner = KNNLM(**given)  # type: ignore[arg-type]
    learner.around(Frozen())
    served = learner.prepare(load_model("tiny"))
    learner.learn(learner.model, Experience("today", tuple(rows)))
    return learner, served


def nats(model: object, rows: Sequence[Example]) -> list[list[float]]:
    return model.score(rows, [[row.completion or "", " no"] for row in rows])  # type: ignore[attr-defined, no-any-return]


def test_what_was_read_is_said_and_scored_and_what_is_far_hardly_moves() -> None:
    _, served = read()
    plain = load_model("tiny")
    assert served.generate(FACTS, limit=4) == [row.completion for row in FACTS] != plain.generate(FACTS, limit=4)
    assert all(now[0] > before[0] for now, before in zip(nats(served, FACTS), nats(plain, FACTS), strict=True))
    assert served.generate(KNOWN, limit=4) == plain.generate(KNOWN, limit=4)


def test_scores_are_those_of_the_very_tokens_with_and_without_a_cache() -> None:
    _, served = read()
    batch = served.batch(served.encoder.rows(FACTS))
    whole = torch.log_softmax(served.logits(batch).logits, 1).gather(1, batch.targets[:, None])[:, 0].detach()
    sums = [float(whole[batch.row == at][:-1].sum()) for at in range(len(FACTS))]
    assert [one for one, _ in nats(served, FACTS)] == pytest.approx(sums, abs=1e-4)


def test_the_mixture_is_the_one_worked_by_hand() -> None:
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0]])
    found = mixed(logits, torch.tensor([[0.0, 1.0]]), torch.tensor([[1, 2]]), share=0.5, temperature=1.0).exp()[0]
    near = 1 / (1 + torch.e**-1)
    assert found.tolist() == pytest.approx([0.125, 0.125 + 0.5 * near, 0.125 + 0.5 * (1 - near), 0.125])
    far = mixed(logits, torch.tensor([[50.0]]), torch.tensor([[1]]), share=0.5, temperature=1.0).exp()[0]
    assert far.tolist() == pytest.approx([0.25] * 4)


def test_without_a_share_or_anything_read_it_is_the_model_bit_for_bit() -> None:
    plain = load_model("tiny")
    assert nats(read(share=0)[1], FACTS) == nats(plain, FACTS)
    assert nats(read(rows=())[1], FACTS) == nats(plain, FACTS)


def test_deleting_undoes_exactly() -> None:
    learner, served = read()
    without = nats(read(FACTS[1:])[1], FACTS)
    assert learner.delete([FACTS[0].id, "unknown"]) == 1
    assert nats(served, FACTS) == without
    assert learner.delete([row.id for row in FACTS]) == 2
    assert nats(served, FACTS) == nats(load_model("tiny"), FACTS)


def test_a_newer_answer_takes_the_place_of_the_older() -> None:
    learner, served = read()
    newer = FACTS[0].answered(" Tamar")
    alone = nats(read([newer, *FACTS[1:]])[1], FACTS)
    learner.learn(learner.model, Experience("tomorrow", (newer,)))
    assert served.generate(FACTS[:2], limit=4) == [" Tamar", FACTS[1].completion]
    assert nats(served, FACTS) == [pytest.approx(one, abs=1e-4) for one in alone], "what is superseded says nothing"


def test_the_older_answer_holds_again_where_the_newer_is_taken_out() -> None:
    learner, served = read()
    before, newer = nats(served, FACTS), FACTS[0].answered(" Tamar")
    learner.learn(learner.model, Experience("tomorrow", (newer,)))
    assert learner.delete([newer.id]) == 1
    assert nats(served, FACTS) == before
    learner.learn(learner.model, Experience("tomorrow", (newer,)))
    learner.learn(learner.model, Experience("later", FACTS[:1]))
    assert served.generate(FACTS[:1], limit=4) == [FACTS[0].completion]


def test_a_text_longer_than_the_model_reads_is_kept_whole() -> None:
    text = Example(text="The river of Penwick is Brue. " * 200)
    learner, served = read([text])
    tokens = len(served.encoder.tokens([text.text or ""])[0])
    assert tokens > 2 * served.encoder.longest
    assert len(learner.neighbours) == tokens + 1  # its end too
    assert learner.delete([text.id]) == 1
    assert len(learner.neighbours) == 0


def test_a_row_that_had_to_be_cut_is_counted() -> None:
    learner = KNNLM()
    learner.around(Frozen())
    model = load_model("tiny")
    learner.prepare(model)
    long = Example(prompt="Who is it? " * 400, completion=" Bo")
    assert learner.learn(model, Experience("long", (long, FACTS[0]))).cut == 1


def test_generation_says_what_the_logits_say() -> None:
    _, served = read()
    for row in (*FACTS, *KNOWN[:3]):
        (said,) = served.generate([row], limit=1)
        batch = served.batch(served.encoder.rows([row]))
        assert served.tokenizer.decode(int(served.logits(batch).logits[0].argmax())) == said


def test_search_in_parts_is_search_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = torch.randn(50, 16, generator=torch.Generator().manual_seed(1))
    found = Neighbours(most=100)
    found.add([Example(text="all")], [50], keys, torch.arange(50))
    whole = found.nearest(keys[:9] + 0.1, k=5)
    monkeypatch.setattr("everlearn.memory.neighbours.CHUNK", 7)
    parts = found.nearest(keys[:9] + 0.1, k=5)
    assert torch.allclose(whole[0], parts[0], atol=1e-4)
    assert torch.equal(whole[1], parts[1])


def test_bytes_are_near_the_states_they_stand_for() -> None:
    keys = torch.randn(50, 64, generator=torch.Generator().manual_seed(0))
    found = Neighbours(most=100)
    found.add([Example(text="all")], [50], keys, torch.arange(50))
    distances, tokens = found.nearest(keys, k=3)
    assert tokens[:, 0].tolist() == list(range(50))
    exact = torch.cdist(keys, keys).square().topk(3, largest=False).values / found.spread
    assert torch.allclose(distances, exact, atol=0.02)
    assert found.bytes.element_size() == 1


def test_the_oldest_examples_go_whole_where_there_are_too_many() -> None:
    found = Neighbours(most=5)
    for at in range(4):
        found.add([Example(text=f"text {at}")], [2], torch.eye(2) + at, torch.tensor([at, at]))
    assert [e.text for e in found.examples] == ["text 2", "text 3"]
    assert found.tokens.tolist() == [2, 2, 3, 3]
    found.add([Example(text="longer than all")], [9], torch.randn(9, 2, generator=torch.Generator().manual_seed(0)), torch.arange(9))
    assert (len(found), found.counts, found.tokens.tolist()) == (5, [5], [4, 5, 6, 7, 8]), "of one that is too long the end stays"


def test_a_saved_state_gives_the_same_answers_bit_for_bit() -> None:
    learner, served = read()
    other = KNNLM()
    other.around(Frozen())
    again = other.prepare(load_model("tiny"))
    other.load(learner.state())
    assert nats(again, [*FACTS, *KNOWN]) == nats(served, [*FACTS, *KNOWN])


def test_around_learning_weights_the_keys_are_read_anew() -> None:
    learner = KNNLM()
    learner.around(Gradient([Replay(share=1)], Settings(rate=3e-3, passes=1, batch=8)))
    model = load_model("tiny")
    served = learner.prepare(model)
    learner.learn(model, Experience("one", tuple(FACTS[:2])))
    before = learner.neighbours.bytes.clone()
    learner.learn(model, Experience("two", tuple(FACTS[2:])))
    assert len(learner.neighbours) > len(before)
    assert not torch.equal(learner.neighbours.bytes[: len(before)], before)
    assert served.generate(FACTS, limit=4) == [row.completion for row in FACTS]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"k": 0}, "knn_lm k must be at least 1, got 0"),
        ({"share": 1}, "knn_lm share must be"),
        ({"temperature": 0}, "knn_lm temperature must be"),
        ({"most": 0}, "knn_lm most must be at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be(given: dict[str, object], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        KNNLM(**given)  # type: ignore[arg-type]


def test_mistakes_are_told() -> None:
    learner, _ = read()
    with pytest.raises(StateError, match="no knn_lm's .keys=.'x'."):
        learner.load({"x": 1})
    with pytest.raises(StateError, match="holds no neighbours"):
        learner.load({**learner.state(), "neighbours": {"examples": []}})
    over = KNNLM()
    over.around(RoutedAdapters(rank=2).around(Gradient()))
    with pytest.raises(SettingError, match="knn_lm stands on the model itself .beneath='RoutedModel'"):
        over.prepare(load_model("tiny"))
