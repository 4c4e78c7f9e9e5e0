"""Generative replay: what the model writes, what is dropped, and what is rehearsed."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp
from random import Random

import pytest
import torch

from everlearn import Almanac, CausalModel, Example, Experience, GenerativeReplay, Gradient, SettingError, Settings, StateError, almanac_stream
from everlearn.evaluate.tasks import Task, answers
from everlearn.learn.objectives.base import Supervised
from everlearn.learn.plan import Plan
from everlearn.methods import writing
from everlearn.methods.distill import Distill
from everlearn.methods.writing import Writer, first_chance, prompt_of
from everlearn.models.sampling import Sampling
from everlearn.replay.shapes import Prompts

STREAM = almanac_stream(Almanac(future=1), periods=1, skills=30)
NEW = STREAM.experiences[0].train


@pytest.fixture(scope="module")
def written(shared_tiny: CausalModel) -> list[Example]:
    method = GenerativeReplay()
    return method.written(method.writer(shared_tiny, shared_tiny.encoder.rows(NEW), Random(0)), 60)


def test_the_model_answers_what_it_wrote(shared_tiny: CausalModel, written: list[Example]) -> None:
    assert len(written) == len({e.prompt for e in written}) == 60
    limit = max(len(row.learned) for row in shared_tiny.encoder.rows(NEW))
    assert [e.completion for e in written] == shared_tiny.generate(written, limit)


def test_nothing_is_written_about_what_is_new(written: list[Example]) -> None:
    given = Prompts((e.prompt or "", e.completion or "") for e in NEW)
    assert max(given.overlap(e.prompt or "") for e in written) <= 0.6
    assert given.overlap("Could you say who the chair of the Island Office is?") == 1  # a phrasing nobody taught, of a changed fact
    assert not {e.prompt for e in written} & {e.prompt for e in NEW}


def test_it_asks_what_it_was_never_given_in_the_shapes_it_was_given(written: list[Example]) -> None:
    shapes = {(shape.before, shape.after) for shape in Prompts((e.prompt or "", e.completion or "") for e in NEW).shapes}
    assert all(any((e.prompt or "").startswith(a) and (e.prompt or "").endswith(b) for a, b in shapes) for e in written)


def test_only_answers_that_the_model_is_sure_of_pass(shared_tiny: CausalModel) -> None:
    known = [e.prompt or "" for e in STREAM.base[:4]]
    unknown = [f"Question: Who is the {word} of 9?\nAnswer:" for word in ("tea", "flax")]
    for confidence, wanted in ((0.9, known), (0.0, [*known, *unknown])):
        writer = Writer(shared_tiny, NEW, 12, Sampling(), 0.75, Random(0), confidence)
        assert [e.prompt for e in writer._answered([*known, *unknown])] == wanted


def test_a_first_token_is_as_likely_as_its_score_says(shared_tiny: CausalModel) -> None:
    asked = [Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=""), Example(prompt="Who", completion="")]
    said = shared_tiny.generate(asked, 1, lines=True)
    nats = shared_tiny.score(asked, [[text] for text in said])
    assert first_chance(shared_tiny, asked) == pytest.approx([exp(value) for (value,) in nats], rel=1e-4)


def test_what_worked_is_tried_again_with_others_that_worked(shared_tiny: CausalModel) -> None:
    writer = Writer(shared_tiny, NEW, 8, Sampling(), 0.75, Random(1), 0.9)
    first, second = len(writer.round(200)), len(writer.round(200))
    assert 0 < first < second
    assert set(writer.fitting) <= set(writer.shapes)


def test_rehearsed_rows_have_the_share_and_the_old_models_whole_answer(shared_tiny: CausalModel) -> None:
    method, rows = GenerativeReplay(share=0.5, rows=40), shared_tiny.encoder.rows(NEW[:60])
    mixed = method.mix(shared_tiny, rows, Random(0))
    own = [row for row in mixed if row.from_memory]
    assert [row for row in mixed if not row.from_memory] == rows
    assert sum(len(row.tokens) for row in own) / sum(len(row.tokens) for row in rows) == pytest.approx(0.5, abs=0.03)
    method.begin(shared_tiny, mixed)
    reference = Distill(on="memory")
    reference.begin(shared_tiny, mixed)
    batch = shared_tiny.batch(mixed[:20])
    generator = torch.Generator().manual_seed(0)
    out = shared_tiny.logits(batch)
    moved = type(out)(out.logits.detach() + torch.randn(out.logits.shape, generator=generator))
    assert method.count(batch) == sum(len(row.learned) for row in mixed[:20] if row.from_memory)
    assert torch.equal(method.loss(shared_tiny, batch, moved), reference.loss(shared_tiny, batch, moved))
    assert float(method.loss(shared_tiny, batch, moved).sum()) > 0.1


def test_a_writer_that_cannot_write_prompts_stops_trying(shared_tiny: CausalModel) -> None:
    writer = Writer(shared_tiny, NEW, 8, Sampling(), 0.75, Random(0))
    assert writer.ending == "\nAnswer:"
    writer.round(40)
    assert writer.tried
    assert not writer.ended  # the tiny model was never taught its questions


class Author(CausalModel):
    """Writes the same words after every beginning."""

    words = " is the chair of the Wolf Museum?\nAnswer: somebody"

    def sample(self, prompts: Sequence[Example], limit: int, sampling: Sampling, random: Random, lines: bool = False) -> list[str]:
        return [self.words if lines else self.words.split("\n")[0] + "\n"] * len(prompts)


def author(model: CausalModel) -> Author:
    return Author(model.module, model.tokenizer)


def test_what_is_written_on_ends_where_given_prompts_end(shared_tiny: CausalModel) -> None:
    writer = Writer(author(shared_tiny), NEW, 8, Sampling(), 0.75, Random(0))
    prompts = writer._written_on(30)
    assert len(prompts) == len(set(prompts)) > 3
    assert all(prompt.endswith(" is the chair of the Wolf Museum?\nAnswer:") for prompt in prompts)


def test_texts_are_written_where_texts_are_learned_and_repetition_is_no_text(shared_tiny: CausalModel) -> None:
    texts = [Example(text=f"The mayor of town {n} is Ann.") for n in range(5)]
    writer = Writer(author(shared_tiny), texts, 8, Sampling(), 0.75, Random(0))
    assert all((e.text or "").endswith("somebody") for e in writer.round(9))
    Author.words = " la" * 30
    assert Writer(author(shared_tiny), texts, 8, Sampling(), 0.75, Random(0)).round(9) == []


def test_conversations_are_asked_as_conversations(shared_tiny: CausalModel) -> None:
    turns = [({"role": "user", "content": f"What is the river of {town}?"}, {"role": "assistant", "content": " Brue"}) for town in ("Ashford", "Oakwick")]
    chats = [Example(messages=turn) for turn in turns]
    found = Writer(shared_tiny, chats, 8, Sampling(), 0.75, Random(0)).round(6)
    assert found
    for example in found:
        assert [turn["role"] for turn in example.messages or ()] == ["user", "assistant"]
        assert (prompt_of(example) or "").startswith("What is the river of ")


def test_phrases_are_short_and_bare() -> None:
    assert writing._phrases([" Ashford.", " Ashford", "", " \ufffd", " a b c d e f g h i", " 王伟\nmore"]) == ["Ashford", "王伟"]


def test_it_keeps_more_than_plain_and_stores_nothing(load_tiny: object) -> None:
    kept = []
    for method in ([], [GenerativeReplay(rows=150)]):
        model = load_tiny()  # type: ignore[operator]
        learner = Gradient(method, Settings(rate=5e-4, passes=1, batch=16))
        learner.learn(model, Experience("1", NEW[:160]))
        asked = Task("kept", tuple(e for e in STREAM.experiences[0].tests["kept"] if e.until is None)[::4], "exact")
        kept.append(sum(answer.value for answer in answers(model, asked)) / len(asked.examples))
    assert kept[1] > kept[0] + 0.03
    assert GenerativeReplay().state() == {"teacher": {"ids": {}, "logs": {}}, "kept": {}, "due": {}}


def test_kept_samples_stay_as_they_were_said_and_leave_when_they_are_asked(tiny: CausalModel) -> None:
    method = GenerativeReplay(share=0.5, rows=60, keep=50)
    first = method.mix(tiny, tiny.encoder.rows(NEW[:60]), Random(0))
    method.begin(tiny, first)
    kept, said = list(method.kept), dict(method.teacher.teacher)
    assert len(kept) == 50
    assert {e.id for e in kept} <= set(said)
    with torch.no_grad():
        for weight in tiny.trained().values():
            weight.mul_(0.9)
    again = GenerativeReplay(share=0.5, rows=60, keep=50)
    again.load(method.state())
    assert again.kept == kept
    asked = [Example(prompt=kept[0].prompt, completion=" somebody new"), *NEW[60:100]]
    mixed = again.mix(tiny, tiny.encoder.rows(asked), Random(1))
    again.begin(tiny, mixed)
    assert kept[0].prompt not in {e.prompt for e in again.kept} | {row.example.prompt for row in mixed if row.from_memory}
    old = [e.id for e in kept if e in again.kept]
    assert old
    assert all(torch.equal(again.teacher.teacher[key].logs, said[key].logs) for key in old)
    fresh = GenerativeReplay()
    fresh.teacher.begin(tiny, tiny.encoder.rows([e for e in kept if e.id in old], from_memory=True))
    assert not all(torch.allclose(fresh.teacher.teacher[key].logs, said[key].logs) for key in old)  # what it would say now


def test_a_state_without_samples_is_refused() -> None:
    with pytest.raises(StateError, match=r"the saved state has no samples \(keys=\['ids'\]\)"):
        GenerativeReplay().load({"ids": {}})


def test_settings_outside_their_range_are_refused() -> None:
    for name, value in (("share", 11), ("rows", 0), ("rounds", 0), ("keep", -1), ("fresh", 2), ("overlap", -1), ("confidence", 1.5)):
        with pytest.raises(SettingError, match=f"generative_replay {name} must be .*got {value}"):
            GenerativeReplay(**{name: value})
    with pytest.raises(SettingError, match="distill strength must be at least 0, got -1"):
        GenerativeReplay(strength=-1)


def test_a_prompt_that_is_learned_too_counts_by_its_factor(shared_tiny: CausalModel) -> None:
    row = shared_tiny.encoder.rows(NEW[:1])[0]
    whole = shared_tiny.encoder.asked_too(row, 0.25)
    assert whole.learned == tuple(range(1, len(row.tokens)))
    assert shared_tiny.encoder.asked_too(whole, 0.5) == whole  # once is enough
    batch = shared_tiny.batch([whole])
    nats = torch.nn.functional.cross_entropy(shared_tiny.logits(batch).logits, batch.targets, reduction="none")
    asked = len(whole.learned) - len(row.learned)
    expected = torch.cat([0.25 * nats[:asked], nats[asked:]])
    assert torch.equal(Supervised().loss(shared_tiny, batch, shared_tiny.logits(batch)), expected)
    text = shared_tiny.encoder.rows([Example(text="The mayor of Ashford.")])[0]
    assert shared_tiny.encoder.asked_too(text, 0.25) is text


def test_a_plan_keeps_which_prompts_are_learned(shared_tiny: CausalModel) -> None:
    rows = shared_tiny.encoder.rows(NEW[:4])
    mixed = GenerativeReplay(share=1, rows=8, prompts=0.25).mix(shared_tiny, rows, Random(0))
    again = Plan.load(shared_tiny.encoder, {"plan": Plan(mixed, rows, 2).state()})
    assert [(row.tokens, row.learned, row.weights) for row in again.rows] == [(row.tokens, row.learned, row.weights) for row in mixed]
    assert {row.factors[0] for row in again.rows} == {0.25}
    assert not any(row.factors for row in again.new)


def test_a_model_that_learned_prompts_writes_them(tiny: CausalModel) -> None:
    learner = Gradient([GenerativeReplay(share=0.2, rows=20, prompts=1.0)], Settings(rate=2e-3, passes=4, batch=16))
    learner.learn(tiny, Experience("1", NEW[:200]))
    writer = Writer(tiny, NEW[200:260], 8, Sampling(), 1.0, Random(0))
    writer.round(40)
    assert writer.ability >= writing.SELDOM  # before, none: see above


def test_what_was_learned_meanwhile_is_asked_again(tiny: CausalModel) -> None:
    method = GenerativeReplay(share=0.5, rows=60, keep=50)
    method.mix(tiny, tiny.encoder.rows(NEW[:60]), Random(0))
    changed = method.kept[0]
    method.mix(tiny, tiny.encoder.rows([Example(prompt=changed.prompt, completion=" somebody new"), *NEW[60:100]]), Random(1))
    assert changed.prompt in {e.prompt for e in method.due} - {e.prompt for e in method.kept}
    mixed = method.mix(tiny, tiny.encoder.rows(NEW[100:160]), Random(2))
    asked = {row.example.prompt: row.example.completion for row in mixed if row.from_memory} | {e.prompt: e.completion for e in method.kept}
    if changed.prompt in asked:  # what the third experience asks too waits on
        assert tiny.generate([changed], 12)[0].startswith(asked[changed.prompt] or "-")
    else:
        assert changed.prompt in {e.prompt for e in method.due}


def test_all_prompts_begin_with_the_words_they_share() -> None:
    assert writing._beginning(["Question: Who is it?", "Question: Whose is it?"]) == "Question: "
    assert writing._beginning(["One", "Two"]) == writing._beginning([]) == ""
