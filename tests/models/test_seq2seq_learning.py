"""Encoder-decoder models in the loop: they learn, every method holds its checks on them, and a comparison runs from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

from everlearn import DataError, Example, Experience, Gradient, Lora, ModelError, Settings, Task, compare, load_model
from everlearn.checks import CHECKS, check_evaluation
from everlearn.checks.methods import active_changes, resume_is_uninterrupted, same_run_twice
from everlearn.methods import BY_NAME

GERMAN = {"one cat": "eine Katze", "two cats": "zwei Katzen", "a dog": "ein Hund", "two houses": "zwei Häuser"}
FRENCH = {"one cat.": "un chat", "two cats.": "deux chats", "a dog.": "un chien", "two houses.": "deux maisons"}


def rows(pairs: dict[str, str], task: str) -> tuple[Example, ...]:
    return tuple(Example(prompt=source, completion=target, choices=(target, "a river"), task=task) for source, target in pairs.items())


@pytest.mark.parametrize("lora", [None, Lora(rank=8)])
def test_it_learns_to_translate(fresh_t5_folder: Path, lora: Lora | None) -> None:
    model, examples = load_model(fresh_t5_folder, lora), rows(GERMAN, "german")
    right = [[e.completion or ""] for e in examples]
    before = model.score(examples, right)
    log = Gradient([], Settings(rate=1e-2, passes=60, batch=4)).learn(model, Experience("1", examples))
    assert log.loss < 2.5
    assert all(new > old + 5 for (old,), (new,) in zip(before, model.score(examples, right), strict=True))
    if lora is None:
        assert model.generate(examples, 16) == [e.completion for e in examples]


# On this untrained model no old gradient points against the new one, and there is nothing that it knows to be written.
IDLE = ("agem", "generative_replay")


@pytest.mark.parametrize("name", BY_NAME)
def test_a_method_holds_its_checks_on_an_encoder_decoder(still_t5_folder: Path, name: str) -> None:
    """The two that compare many whole runs are left to the causal model, and to the test below.

    TRACE and O-LoRA look for layers by the names that one architecture gives them; here none of those names occurs.
    """
    if name in ("expand", "sparse_memory"):
        with pytest.raises(ModelError, match="decoder"):
            BY_NAME[name]().prepare(load_model(still_t5_folder))
        return
    left = {same_run_twice, resume_is_uninterrupted} | ({active_changes} if name in IDLE else set())
    ran = [check.__name__ for check in CHECKS if check not in left and check(BY_NAME[name], lambda: load_model(still_t5_folder))]
    assert set(ran) >= {"accumulation_changes_nothing", "gradient_leaves_grad"} | (set() if name in IDLE else {"active_changes"})


def test_resuming_draws_the_same_dropout(fresh_t5_folder: Path) -> None:
    assert resume_is_uninterrupted(BY_NAME["distill"], lambda: load_model(fresh_t5_folder))


def test_evaluation_changes_nothing(fresh_t5_folder: Path) -> None:
    examples = rows(GERMAN, "german")
    check_evaluation(load_model(fresh_t5_folder), [Task("e", examples, "exact"), Task("c", examples, "choice"), Task("l", examples, "loss")])


def test_a_comparison_runs_from_end_to_end_and_methods_forget_less(fresh_t5_folder: Path, tmp_path: Path) -> None:
    german, french = rows(GERMAN, "german"), rows(FRENCH, "french")
    tests = {"german": german, "french": french}
    scores = {"german": "loss", "french": "loss"}
    stream = [Experience("first", german, tests, scores), Experience("second", french, tests, scores)]  # type: ignore[arg-type]
    methods = "plain,replay(share=1)+ewc(strength=1)+distill(strength=1)"
    settings = Settings(rate=1e-2, passes=40, batch=4)
    results = compare(stream, fresh_t5_folder, methods, settings=settings, out=tmp_path)
    plain, kept = results.runs
    assert plain.metrics["learning_accuracy"] > 0.5
    assert plain.metrics["forgetting"] > 0.1
    assert kept.metrics["forgetting"] < plain.metrics["forgetting"] - 0.1
    assert kept.cost["extra_state_bytes"] > 0
    assert len(list((tmp_path / "runs").glob("*.json"))) == 2


def test_a_stream_of_plain_text_is_refused_by_id(fresh_t5_folder: Path) -> None:
    with pytest.raises(DataError, match="id='t1'"):
        Gradient([], Settings()).learn(load_model(fresh_t5_folder), Experience("1", (Example(text="a text", id="t1"),)))
