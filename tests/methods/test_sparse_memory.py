"""Sparse memory: silent at first, learned where the new rows read more than the background, nothing else moves, and it goes into a version and back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel, OPTConfig, OPTForCausalLM, T5Config, T5ForConditionalGeneration

from everlearn import (
    Almanac,
    CausalModel,
    Example,
    Experience,
    Gradient,
    HomeSettings,
    ModelError,
    Replay,
    Seq2SeqModel,
    SettingError,
    Settings,
    SparseMemory,
    StateError,
    Step,
    TestSet,
    almanac_stream,
    create_home,
    export,
    load_model,
    open_version,
    update,
)
from everlearn.checks.methods import whole
from everlearn.config import parse_methods
from everlearn.models.adapters import Lora
from everlearn.models.product_keys import memories

OLD = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(24))
NEW = tuple(Example(prompt=f"Question: Where does the owl number {n} live?\nAnswer:", completion=f" {9 - n}") for n in range(8))
SETTINGS = Settings(rate=2e-4, passes=30, batch=8)
SMALL = {"slots": 1024, "top": 64}
VALUES = "model.layers.2.mlp.memory.values"


def said(model: CausalModel) -> torch.Tensor:
    with torch.no_grad():
        return model.logits(model.batch(model.encoder.rows((*OLD, *NEW)))).logits


def likely(model: CausalModel) -> float:
    """Nats of a new answer, the mean."""
    return sum(nats for (nats,) in model.score(NEW, [[str(e.completion)] for e in NEW])) / len(NEW)


def learned(model: CausalModel, method: SparseMemory, past: tuple[Example, ...] = OLD, *others: Replay) -> Gradient:
    learner = Gradient([method, *others], SETTINGS)
    learner.prepare(model)
    if past:
        learner.remember(model, past)
    learner.learn(model, Experience("owls", NEW))
    return learner


def test_the_model_starts_bit_for_bit_as_it_was_and_learns_beside_frozen_weights(tiny: CausalModel) -> None:
    before, frozen = said(tiny), whole(tiny)
    method = SparseMemory(**SMALL, blocks=2)
    learner = Gradient([method], SETTINGS)
    learner.prepare(tiny)
    learner.remember(tiny, OLD)
    assert torch.equal(said(tiny), before)
    learner.learn(tiny, Experience("owls", NEW))
    assert sorted(memories(tiny.module)) == ["model.layers.1.mlp.memory", "model.layers.2.mlp.memory"]
    assert likely(tiny) > likely(load_model("tiny")) + 2  # type: ignore[arg-type]
    assert all(torch.equal(tiny.module.state_dict()[name], value) for name, value in frozen.items())


def test_only_the_chosen_slots_move_also_under_weight_decay_and_later_they_are_background(tiny: CausalModel) -> None:
    method = SparseMemory(**SMALL)
    learner = learned(tiny, method)
    first, chosen = tiny.state()[VALUES], method.learns[VALUES][:, 0]
    assert 0 < int(chosen.sum()) <= 64
    assert not first[~chosen].any()
    assert int(first[chosen].any(1).sum()) > 0.9 * int(chosen.sum())
    assert method.documents == len(OLD) + len(NEW)
    again = Gradient([method], Settings(rate=2e-4, passes=2, batch=8, weight_decay=0.1))
    again.learned = learner.learned
    again.learn(tiny, Experience("sums", OLD[:8]))
    moved = (tiny.state()[VALUES] != first).any(1)
    assert moved.any()
    assert not (moved & ~method.learns[VALUES][:, 0]).any()


def test_slots_are_ranked_by_how_much_more_the_new_rows_read_them(tiny: CausalModel) -> None:
    method = SparseMemory(slots=256, top=20)
    learner = Gradient([method], SETTINGS)
    learner.prepare(tiny)
    learner.remember(tiny, OLD)
    rows = tiny.encoder.rows(NEW)
    method.begin(tiny, rows)
    memory, seen = memories(tiny.module)[VALUES.removesuffix(".values")], list[torch.Tensor]()
    hook = memory.register_forward_hook(lambda _, given, out: seen.append(given[0]))
    uses, documents = torch.zeros(256), torch.zeros(256)
    for kind, given in (("new", rows), ("old", tiny.encoder.rows(OLD))):
        for row in given:
            said_of = tiny.batch([row])
            tiny.logits(said_of)
            slots, shares = memory.reader.look(seen[-1][0, [at - 1 for at in row.learned]], memory.reads)
            assert torch.allclose(shares.sum(-1), torch.ones(len(shares)))
            if kind == "new":
                uses.index_add_(0, slots.flatten(), shares.flatten())
            else:
                documents[slots.unique()] += 1
    hook.remove()
    assert torch.equal(method.read[VALUES], documents)
    score = uses / uses.sum() * torch.log((len(OLD) + 1) / (1 + documents))
    assert set(method.learns[VALUES][:, 0].nonzero()[:, 0].tolist()) == set(score.topk(20).indices.tolist())


def test_the_reader_finds_the_nearest_of_all_pairs_of_keys(tiny: CausalModel) -> None:
    method = SparseMemory(slots=100, heads=1, reads=3)
    learner = Gradient([method], SETTINGS)
    learner.prepare(tiny)
    learner.remember(tiny, OLD)
    reader = method._readers[VALUES]
    given = torch.randn(5, 128, generator=torch.Generator().manual_seed(0))
    slots, _ = reader.look(given, 3)
    halves = [(given - reader.centre) @ reader.queries[0, half].T for half in (0, 1)]
    far = [torch.cdist(halves[half], reader.keys[0, half]).square() for half in (0, 1)]
    every = (far[0][:, :, None] + far[1][:, None, :]).flatten(1)
    assert torch.equal(slots.sort(1).values, every.topk(3, 1, largest=False).indices.sort(1).values)


def test_where_no_past_was_shown_the_models_own_texts_are_the_background(tiny: CausalModel) -> None:
    method = SparseMemory(**SMALL)
    learned(tiny, method, ())
    assert method.documents > len(NEW) + 10
    assert memories(tiny.module)[VALUES.removesuffix(".values")].fitted


def test_it_learns_what_is_new_and_forgets_less_than_plain_training_also_with_replay(load_tiny: Callable[[], CausalModel]) -> None:
    stream = almanac_stream(Almanac(future=1), periods=1)
    taught = stream.experiences[0]
    changed = {e.source for e in taught.train}
    kept = [e for e in taught.tests["kept"] if e.source not in changed][::6]
    asked = [*taught.tests["changed1"], *taught.tests["new1"]]
    right: dict[str, tuple[float, float]] = {}
    for name, methods in {"plain": [], "sparse": [SparseMemory(rows=512)], "both": [SparseMemory(rows=512), Replay(share=0.5)]}.items():
        model, learner = load_tiny(), Gradient(methods, Settings())
        learner.prepare(model)
        learner.remember(model, stream.base)
        learner.learn(model, taught)
        shares = [sum(said == e.completion for said, e in zip(model.generate(rows, limit=8), rows, strict=True)) / len(rows) for rows in (kept, asked)]
        right[name] = shares[0], shares[1]
    assert right["sparse"][0] > right["plain"][0] + 0.03
    assert right["sparse"][1] > 0.85
    assert right["both"][0] > right["plain"][0] + 0.03
    assert right["both"][1] > 0.7
    assert [part.name for part in parse_methods("sparse_memory(slots=64)+replay")[0].parts] == ["sparse_memory", "replay"]


def test_adapters_are_frozen_too_and_other_architectures_take_a_memory(shared_tiny: CausalModel) -> None:
    adapted = load_model("tiny", lora=Lora(rank=2))
    learned(adapted, SparseMemory(**SMALL))  # type: ignore[arg-type]
    assert all("memory" in name for name in adapted.trained())
    torch.manual_seed(0)
    small = GPT2LMHeadModel(GPT2Config(vocab_size=1509, n_embd=32, n_layer=4, n_head=2, n_positions=64, bos_token_id=0, eos_token_id=0))
    model = CausalModel(small.eval(), shared_tiny.tokenizer, "made")
    before = said(model)
    learner = Gradient([SparseMemory(**SMALL)], SETTINGS)
    learner.prepare(model)
    assert torch.equal(said(model), before)
    learner.learn(model, Experience("owls", NEW))
    model.module.eval()
    assert float((said(model) - before).abs().max()) > 1e-3
    prompt = torch.arange(2, 12)[None]
    cached = model.module.generate(prompt, max_new_tokens=8, do_sample=False, eos_token_id=None, use_cache=True)
    assert torch.equal(cached, model.module.generate(prompt, max_new_tokens=8, do_sample=False, eos_token_id=None, use_cache=False))


def test_a_home_updates_opens_and_refuses_to_export(tmp_path: Path) -> None:
    learn = {"recipe": "sparse_memory(slots=1024,top=64)", "rate": 2e-4, "passes": 30, "batch": 8}
    table = {"learn": learn, "test": {"anchor": "off"}, "gate": {"least_gain": "off", "most_loss": "off"}, "retry": {"attempts": 0}}
    home = create_home(tmp_path / "home", "tiny", remember=OLD, settings=HomeSettings.of(table, "a test"))
    start = open_version(home)
    assert torch.equal(said(start.model), said(load_model("tiny")))  # type: ignore[arg-type]
    for rows in (NEW[:4], NEW[4:]):
        update(home, list(rows), {"owls": TestSet("exact", rows)})
    opened = open_version(home)
    assert home.head.number == 2
    assert likely(opened.model) > likely(start.model) + 2  # type: ignore[arg-type]
    again = open_version(home)
    assert torch.equal(said(opened.model), said(again.model))  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="this version has memory layers, which no other program reads"):
        export(home, tmp_path / "out")
    with pytest.raises(ModelError, match="this version has memory layers"):
        export(home, tmp_path / "out", form="adapter")
    HomeSettings.of({**table, "learn": {**learn, "recipe": "sparse_memory(slots=1024,top=64)+replay(share=1)"}}, "a test").save(home.folder / "everlearn.toml")
    keys = memories(again.model.module)[VALUES.removesuffix(".values")].keys.detach()
    update(home, list(OLD[:4]), {"sums": TestSet("exact", OLD[:4])})
    joined = open_version(home)
    assert torch.equal(memories(joined.model.module)[VALUES.removesuffix(".values")].keys.detach(), keys)
    HomeSettings.of({**table, "learn": {**learn, "recipe": "sparse_memory(slots=256,top=64)"}}, "a test").save(home.folder / "everlearn.toml")
    with pytest.raises(ModelError, match=r"saved weights do not fit \(differing sizes: \['model.layers.2.mlp.memory.values'"):
        update(home, list(OLD[4:8]), {"more sums": TestSet("exact", OLD[4:8])})


def test_models_and_states_that_do_not_fit_are_refused(tiny: CausalModel, shared_tiny: CausalModel) -> None:
    config = T5Config(vocab_size=1509, d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, decoder_start_token_id=0)
    with pytest.raises(ModelError, match="this model's blocks are not known .architecture='T5ForConditionalGeneration'"):
        SparseMemory().prepare(Seq2SeqModel(T5ForConditionalGeneration(config), shared_tiny.tokenizer))
    sizes = {"vocab_size": 1509, "hidden_size": 32, "ffn_dim": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "word_embed_proj_dim": 32}
    with pytest.raises(ModelError, match="Each needs a feed-forward called mlp"):
        SparseMemory().prepare(CausalModel(OPTForCausalLM(OPTConfig(**sizes, max_position_embeddings=64)), shared_tiny.tokenizer, "made"))
    with pytest.raises(SettingError, match=r"at most the model's number of blocks, got 9 \(blocks=4\)"):
        SparseMemory(blocks=9).prepare(tiny)
    SparseMemory(slots=64).prepare(tiny)
    with pytest.raises(ModelError, match="this model has memory layers already"):
        SparseMemory(slots=64).prepare(tiny)
    with pytest.raises(StateError, match="the saved state is no sparse_memory's .keys=..rows..."):
        SparseMemory().load({"rows": 1})
    silent = SparseMemory(slots=64)
    silent.end(tiny, Step(0, 0, 0.0, [], lambda rows: {}), Random(0))
    assert silent.documents == 0


@pytest.mark.parametrize(("name", "value"), [("slots", -1), ("top", 0), ("blocks", 0), ("heads", 0), ("reads", 0), ("rows", 0), ("factor", 0)])
def test_settings_outside_their_range_are_refused(name: str, value: int) -> None:
    with pytest.raises(SettingError, match=f"sparse_memory {name} must be at least .*, got {value}"):
        SparseMemory(**{name: value})
