"""KL and perplexity against closed forms and against score."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from everlearn import Batch, CausalModel, DataError, Example, ModelError, Out, Row, StateError
from everlearn.evaluate import forward
from everlearn.evaluate.divergence import Anchor, Divergence, read_anchor
from everlearn.evaluate.texts import anchor_texts
from everlearn.models.batch import make_batch
from everlearn.models.seq2seq import Seq2SeqModel

TEXTS = [Example(text="The mayor of Penwick opened the bridge."), Example(text="Rain is expected."), Example(text="城里的图书馆周一不开门。")]


class Table:
    """A LanguageModel that gives the same logits whatever it reads: one row of them, or one for each token."""

    def __init__(self, like: CausalModel, logits: Tensor) -> None:
        self.encoder, self.given = like.encoder, logits
        self.module = nn.Linear(1, 1)

    def batch(self, rows: Sequence[Row]) -> Batch:
        return make_batch(rows, 0)

    def logits(self, batch: Batch) -> Out:
        return Out(self.given.expand(len(batch.targets), -1) if len(self.given) == 1 else self.given[batch.targets])


def one(like: CausalModel, *shares: float) -> Table:
    """All probability on the first tokens, so much on each."""
    logits = torch.full((1, len(like.tokenizer)), -math.inf)
    logits[0, : len(shares)] = torch.tensor(shares).log()
    return Table(like, logits)


def noise(like: CausalModel, seed: int, size: int | None = None) -> Table:
    drawn = torch.randn(len(like.tokenizer), size or len(like.tokenizer), generator=torch.Generator().manual_seed(seed))
    return Table(like, 2 * drawn)


def exact(p: Table, q: Table, targets: Tensor) -> float:
    before, after = (table.given[targets.long()].double().log_softmax(1) for table in (p, q))
    return float((before.exp() * (before - after)).sum(1).mean())


def targets_of(like: CausalModel) -> Tensor:
    return torch.tensor([row.tokens[at] for row in read_anchor(like, TEXTS).rows for at in row.learned])


def test_kl_is_the_closed_form_in_the_stated_direction(shared_tiny: CausalModel) -> None:
    """TRL's names for the two directions were confused in review: a closed form settles which one it is."""
    start, now = one(shared_tiny, 0.5, 0.5), one(shared_tiny, 0.25, 0.75)
    forwards = Anchor.of(start, TEXTS).divergence(now).kl  # type: ignore[arg-type]
    backwards = Anchor.of(now, TEXTS).divergence(start).kl  # type: ignore[arg-type]
    assert forwards == pytest.approx(0.5 * math.log(4 / 3), abs=1e-6)
    assert backwards == pytest.approx(0.75 * math.log(3) - math.log(2), abs=1e-6)
    assert abs(forwards - backwards) > 0.01


def test_what_the_start_held_possible_and_the_later_model_does_not_is_infinite(shared_tiny: CausalModel) -> None:
    start, now = one(shared_tiny, 0.5, 0.5), one(shared_tiny, 1.0)
    assert Anchor.of(start, TEXTS).divergence(now).kl == math.inf  # type: ignore[arg-type]
    assert Anchor.of(now, TEXTS).divergence(start).kl == pytest.approx(math.log(2), abs=1e-6)  # type: ignore[arg-type]


@pytest.mark.parametrize("flip", [False, True])
def test_kept_whole_it_is_exact_and_kept_in_part_never_more(shared_tiny: CausalModel, flip: bool) -> None:
    start, now = (noise(shared_tiny, seed) for seed in ((1, 0) if flip else (0, 1)))
    wanted = exact(start, now, targets_of(shared_tiny))
    by_top = [Anchor.of(start, TEXTS, top).divergence(now).kl for top in (1, 10, 100, 1024, len(shared_tiny.tokenizer))]  # type: ignore[arg-type]
    assert by_top[-1] == pytest.approx(wanted, rel=1e-6)
    assert by_top == sorted(by_top)
    assert 0 < by_top[0] < by_top[-2] <= wanted
    assert by_top[-2] > 0.9 * wanted


def test_the_kept_part_is_a_top_and_one_bucket(shared_tiny: CausalModel) -> None:
    start, now = noise(shared_tiny, 0), noise(shared_tiny, 1)
    p, q = (table.given[targets_of(shared_tiny).long()].double().softmax(1) for table in (start, now))
    best = p.topk(3).indices
    wanted = 0.0
    for row, ids in enumerate(best):
        pairs = [(p[row, i], q[row, i]) for i in ids] + [(1 - p[row, ids].sum(), 1 - q[row, ids].sum())]
        wanted += sum(float(a * (a / b).log()) for a, b in pairs) / len(best)
    assert Anchor.of(start, TEXTS, 3).divergence(now).kl == pytest.approx(wanted, rel=1e-5)  # type: ignore[arg-type]


def test_the_start_is_at_no_distance_from_itself(shared_tiny: CausalModel) -> None:
    anchor = Anchor.of(shared_tiny, TEXTS)
    again = anchor.divergence(shared_tiny)
    assert 0 <= again.kl < 1e-6
    assert (again.perplexity, again.nats_per_byte) == pytest.approx((anchor.start.perplexity, anchor.start.nats_per_byte))
    assert anchor.start.kl == 0


def test_perplexity_and_nats_a_byte_are_those_of_score(shared_tiny: CausalModel) -> None:
    anchor = Anchor.of(shared_tiny, TEXTS)
    nats = -sum(given[0] for given in shared_tiny.score(TEXTS, [[e.text or ""] for e in TEXTS]))
    assert math.log(anchor.start.perplexity) == pytest.approx(nats / anchor.tokens, rel=1e-5)
    assert anchor.start.nats_per_byte == pytest.approx(nats / sum(len((e.text or "").encode()) for e in TEXTS), rel=1e-5)
    assert anchor.tokens == sum(map(len, shared_tiny.encoder.tokens([e.text or "" for e in TEXTS])))


def test_of_a_prompt_and_its_answer_only_the_answer_counts(shared_tiny: CausalModel) -> None:
    example = Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=" 12")
    chat = Example(messages=({"role": "user", "content": "What is 7 plus 5?"}, {"role": "assistant", "content": " 12"}))
    anchor = Anchor.of(shared_tiny, [example])
    assert anchor.tokens == len(shared_tiny.encoder.tokens([" 12"])[0])
    assert anchor.start.nats_per_byte == pytest.approx(-shared_tiny.score([example], [[" 12"]])[0][0] / 3, abs=1e-6)
    assert Anchor.of(shared_tiny, [chat]).tokens > anchor.tokens  # with the turn's closing


def test_a_learned_model_has_moved(tiny: CausalModel) -> None:
    anchor = Anchor.of(tiny, TEXTS)
    with torch.no_grad():
        for weight in tiny.trained().values():
            weight.mul_(1.02)
    assert anchor.divergence(tiny).kl > 0.001


def test_long_text_goes_in_windows_and_every_token_counts_once(shared_tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    long = Example(text="The river rises in the hills. " * 60)
    tokens = len(shared_tiny.encoder.tokens([long.text or ""])[0])
    monkeypatch.setattr(forward, "MOST_LOGITS", 100 * len(shared_tiny.tokenizer))
    reading = read_anchor(shared_tiny, [long])
    assert reading.tokens == tokens
    assert max(len(row.learned) for row in reading.rows) <= 100
    cut = shared_tiny.encoder.cut
    answer = read_anchor(shared_tiny, [Example(prompt="Tell me.", completion=long.text)])
    assert answer.tokens == 100
    assert answer.size < len((long.text or "").encode()) / 2
    assert shared_tiny.encoder.cut == cut


def test_an_encoder_decoder_model_reads_the_first_half_and_answers_the_second(small_t5: Seq2SeqModel) -> None:
    model, anchor = small_t5, Anchor.of(small_t5, TEXTS)
    halves = [("The mayor of", "Penwick opened the bridge."), ("Rain is", "expected."), ("城里的图书馆", "周一不开门。")]
    given = [Example(prompt=prompt, completion=completion) for prompt, completion in halves]
    nats = -sum(row[0] for row in model.score(given, [[e.completion or ""] for e in given]))
    assert anchor.tokens == sum(map(len, model.encoder.tokens([completion for _, completion in halves])))
    assert anchor.start.nats_per_byte == pytest.approx(nats / sum(len(completion.encode()) for _, completion in halves), rel=1e-4)
    with torch.no_grad():
        model.module.shared.weight.mul_(1.5)
    assert anchor.divergence(model).kl > 0


def test_an_anchor_survives_the_disk(shared_tiny: CausalModel) -> None:
    other, anchor = noise(shared_tiny, 1), Anchor.of(noise(shared_tiny, 0), TEXTS)  # type: ignore[arg-type]
    again = Anchor.from_state(load(save(anchor.state())))
    assert again.examples == anchor.examples
    assert again.start == anchor.start
    assert again.divergence(other) == anchor.divergence(other)  # type: ignore[arg-type]


def test_a_state_that_is_none_is_refused(shared_tiny: CausalModel) -> None:
    state = Anchor.of(shared_tiny, TEXTS).state()
    del state["ids"]
    with pytest.raises(StateError, match="differing names: \\['ids'\\]"):
        Anchor.from_state(state)


def test_no_text_is_refused(shared_tiny: CausalModel) -> None:
    with pytest.raises(DataError, match="examples=0"):
        Anchor.of(shared_tiny, [])


def test_kl_between_tokenizers_is_refused(shared_tiny: CausalModel) -> None:
    other = Table(shared_tiny, torch.zeros(1, 2000))
    other.encoder = SimpleNamespace(tokens=lambda texts: [[5] for _ in texts], start=[0], longest=512, end=0, tokenizer=shared_tiny.tokenizer)  # type: ignore[assignment]
    anchor = Anchor.of(shared_tiny, TEXTS)
    assert anchor.reads_alike(shared_tiny)
    assert not anchor.reads_alike(other)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="tokenizer is not the starting model's"):
        anchor.divergence(other)  # type: ignore[arg-type]


def test_a_smaller_vocabulary_is_refused(shared_tiny: CausalModel) -> None:
    anchor = Anchor.of(noise(shared_tiny, 0), TEXTS)  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="vocabulary=1200, wanted more than 1508"):
        anchor.divergence(Table(shared_tiny, torch.zeros(1, 1200)))  # type: ignore[arg-type]


def test_a_larger_vocabulary_keeps_the_bound(shared_tiny: CausalModel) -> None:
    start = one(shared_tiny, 0.5, 0.5)
    wider = Table(shared_tiny, torch.cat([one(shared_tiny, 0.5, 0.5).given, torch.full((1, 1), math.log(1.0))], 1))
    assert Anchor.of(start, TEXTS).divergence(wider).kl == pytest.approx(math.log(2), abs=1e-6)  # type: ignore[arg-type]


def test_the_anchor_text_is_what_it_says(shared_tiny: CausalModel) -> None:
    texts = anchor_texts()
    assert len({e.id for e in texts}) == len(texts) == 42
    assert sum("\u4e00" <= letter <= "\u9fff" for e in texts for letter in e.text or "") > 300
    assert all(len((e.text or "").encode()) < 600 for e in texts)
    assert isinstance(Anchor.of(shared_tiny, texts[:2]).start, Divergence)
