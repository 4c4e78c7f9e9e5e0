"""Answers under way: leaving and joining change no answer."""

from __future__ import annotations

import torch

from everlearn import CausalModel, Example, load_model
from everlearn.models.decoding import Decoding
from everlearn.models.language import CausalDecoding
from everlearn.models.routed import RoutedModel

ASKED = [f"Question: What is {n} plus {m}?\nAnswer:" for n, m in ((7, 5), (40, 31), (2, 2))]


def tokens_of(model: CausalModel, prompts: list[str]) -> list[tuple[int, ...]]:
    return [tuple(tokens) for tokens in model.encoder.prompts([Example(prompt=text, completion="") for text in prompts])]


def steps(under_way: Decoding, count: int, said: list[list[int]]) -> None:
    """Greedy tokens of the rows, added to what each said."""
    for _ in range(count):
        token = under_way.logits.argmax(1)
        for row, value in zip(said, token.tolist(), strict=True):
            row.append(value)
        under_way.say(token)


def alone(model: CausalModel, prompt: str, count: int) -> list[int]:
    said: list[list[int]] = [[]]
    steps(model.begin(tokens_of(model, [prompt])), count, said)
    return said[0]


@torch.inference_mode()
def test_rows_that_join_and_leave_say_what_they_would_say_alone() -> None:
    model = load_model("tiny")
    assert isinstance(model, CausalModel)
    model.module.eval()
    long = "Question: Who keeps the lamp of Penwick, and since when?\nAnswer:"
    said: list[list[int]] = [[], []]
    going = model.begin(tokens_of(model, ASKED[:2]))
    steps(going, 2, said)
    assert going.join(model.begin(tokens_of(model, [long])))
    said.append([])
    steps(going, 3, said)
    short = said.pop(1)
    going.keep(torch.tensor([0, 2]))
    steps(going, 2, said)
    assert said == [alone(model, ASKED[0], 7), alone(model, long, 5)]
    assert short == alone(model, ASKED[1], 5)


@torch.inference_mode()
def test_what_only_pads_is_dropped_when_the_longest_row_leaves() -> None:
    model = load_model("tiny")
    assert isinstance(model, CausalModel)
    model.module.eval()
    going = model.begin(tokens_of(model, [ASKED[0], " ".join(ASKED)]))
    before = going.mask.shape[1]
    going.keep(torch.tensor([0]))
    assert going.mask.shape[1] < before
    assert int(going.mask.min()) == 1
    said: list[list[int]] = [[]]
    steps(going, 3, said)
    assert said[0] == alone(model, ASKED[0], 3)


@torch.inference_mode()
def test_models_that_differ_do_not_join_and_routed_rows_keep_their_adapters() -> None:
    model, other = load_model("tiny"), load_model("tiny")
    assert isinstance(model, CausalModel)
    assert isinstance(other, CausalModel)
    one = model.begin(tokens_of(model, ASKED[:1]))
    assert not one.join(other.begin(tokens_of(other, ASKED[:1])))
    names = iter([["first"], ["second"]])
    seen: list[list[str]] = []

    class Noted(RoutedModel):
        def _forward(self, keep, **inputs):  # type: ignore[no-untyped-def]
            seen.append(list(inputs["past_key_values"].names))
            return CausalModel._forward(self, keep, **inputs)

    routed = Noted(model, lambda prompts: next(names))
    going = routed.begin(tokens_of(model, ASKED[:1]))
    assert isinstance(going, CausalDecoding)
    assert going.join(routed.begin(tokens_of(model, ASKED[1:2])))
    going.say(going.logits.argmax(1))
    assert seen[-1] == ["first", "second"]
