"""A version is served as it was learned, without the code that learns."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from everlearn import Example, Home, StateError, open_version
from everlearn.learn.registry import LEARNERS
from everlearn.methods import BY_NAME
from everlearn.methods.base import Method
from everlearn.serve.opening import _put, open_served, parts_of
from everlearn.serve.wrapping import AROUND, BENEATH, SHAPES, WRAPPERS
from tests.serve.conftest import asked, home_of

EXACT = [
    "keep_current",
    "retrieval(2, names=False)+replay(share=1)",
    "knn_lm(k=4)",
    "codebook(steps=20)",
    "routed_adapters(rank=2, features=64, router=arrow)+retrieval",
    "slao(rank=2)",
    "sparse_memory(1024, top=64)+replay(share=1)",
    "retrieval+consolidate(after=0, change=1)+replay(share=1)",
    "consolidate(after=0, change=1)",
]
WRITTEN_OUT = ["expand(every=2)"]
QUESTIONS = [Example(prompt=asked(n), completion=" Ashford") for n in (0, 5, 90)] + [Example(prompt="Question: What is 7 plus 5?\nAnswer:", completion=" 12")]


@pytest.mark.parametrize("recipe", EXACT)
def test_a_version_is_served_bit_for_bit_as_it_was_learned(recipe: str, tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", recipe)
    served, opened = open_served(home, home.head), open_version(home)
    learned = opened.served
    assert served.name == "v1"
    batch = served.model.batch(served.model.encoder.rows(served.read(QUESTIONS)))
    whole = learned.encoder.rows(QUESTIONS)
    with torch.inference_mode():
        mine, theirs = served.model.logits(batch).logits, learned.logits(learned.batch(whole)).logits  # type: ignore[attr-defined]
    assert torch.equal(mine, theirs)
    assert served.model.generate(served.read(QUESTIONS), 4) == learned.generate(QUESTIONS, 4)


@pytest.mark.parametrize("recipe", WRITTEN_OUT)
def test_what_changes_the_model_beneath_is_written_out_and_served(recipe: str, tmp_path: Path) -> None:
    home = home_of(tmp_path / "home", recipe)
    served, learned = open_served(home, home.head), open_version(home).served
    options = [[" Penwick", " Ashford"]] * len(QUESTIONS)
    for mine, theirs in zip(served.model.score(QUESTIONS, options), learned.score(QUESTIONS, options), strict=True):
        assert mine == pytest.approx(theirs, abs=1e-3)


def test_the_answering_half_has_the_settings_and_defaults_of_the_learner() -> None:
    assert set(LEARNERS) == AROUND
    for name, wrap in WRAPPERS.items():
        theirs = {key: of.default for key, of in inspect.signature(LEARNERS[name]).parameters.items()}
        mine = {key: of.default for key, of in list(inspect.signature(wrap).parameters.items())[3:]}
        assert list(mine.items()) == list(theirs.items()), name
    for name, shape in SHAPES.items():
        theirs = {key: of.default for key, of in inspect.signature(BY_NAME[name]).parameters.items()}
        mine = {key: of.default for key, of in list(inspect.signature(shape).parameters.items())[1:]}
        assert list(mine.items()) == list(theirs.items()), name


def test_every_method_that_changes_a_models_structure_is_known_to_the_server() -> None:
    shaping = {name for name, method in BY_NAME.items() if method.folds or method.prepare is not Method.prepare}
    assert shaping == BENEATH | set(SHAPES) | {"slao", "subspace", "migu"}  # these leave a model whose weights are all that a version keeps


def test_a_recipe_is_read_as_it_is_written() -> None:
    assert parts_of("keep_current") == [("keep_current", {})]
    assert parts_of("a(b=c)+retrieval(3, 0.9)+d") == [("a", {"b": "c"}), ("retrieval", {"k": 3, "least": 0.9}), ("d", {})]


def test_weights_that_do_not_fit_are_refused(home: Home, tmp_path: Path) -> None:
    other = home_of(tmp_path / "other", "routed_adapters(rank=2, features=64)")
    with pytest.raises(StateError, match="do not fit its base"):
        _put(open_served(home, home.head).model, other.objects.get_tensors(other.head.kept.weights), other.head)


def test_a_server_starts_without_training_code() -> None:
    code = (
        "import sys, everlearn.serve.opening;"
        "print([name for name in sys.modules if name.startswith(('everlearn.learn', 'everlearn.methods', 'everlearn.upkeep', 'everlearn.config'))])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
