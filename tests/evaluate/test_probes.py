"""Probes: what they ask, and what models of known behaviour get."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from everlearn import CausalModel, Example
from everlearn.evaluate.arithmetic import KINDS, sums
from everlearn.evaluate.probes import MOST_SAID, NAMES, Probe, probe, probes, shares
from everlearn.evaluate.scores import has_han, right
from everlearn.evaluate.verify import satisfied


class Says:
    """A LanguageModel that answers each prompt as told, and prefers the continuations it is told to."""

    def __init__(self, like: CausalModel, answer: dict[str | None, str] | str, prefers: Sequence[str] = ()) -> None:
        self.encoder, self.answer, self.prefers, self.lines = like.encoder, answer, set(prefers), set[bool]()

    def generate(self, prompts: Sequence[Example], limit: int, lines: bool = False) -> list[str]:
        self.lines.add(lines)
        return [self.answer if isinstance(self.answer, str) else self.answer[e.question] for e in prompts]

    def score(self, prompts: Sequence[Example], continuations: Sequence[Sequence[str]]) -> list[list[float]]:
        return [[-1.0 if text.strip() in self.prefers else -1000.0 for text in given] for given in continuations]


def by_name(chat: bool = False) -> dict[str, Probe]:
    return {found.task.name: found for found in probes(chat)}


@pytest.mark.parametrize("chat", [False, True])
def test_sixty_rows_each_in_two_languages_with_names_of_their_own(chat: bool) -> None:
    assert tuple(by_name(chat)) == NAMES
    rows = [example for found in probes(chat) for example in found.task.examples]
    assert [len(found.task.examples) for found in probes(chat)] == [60, 60, 60]
    assert len({e.id for e in rows}) == len({e.question for e in rows}) == 180
    for found in probes(chat):
        assert sum(has_han(e.question or "") for e in found.task.examples) >= 8
    assert all((e.messages is not None) is chat for e in rows)


@pytest.mark.parametrize("chat", [False, True])
def test_a_model_that_is_always_right_gets_everything(shared_tiny: CausalModel, chat: bool) -> None:
    answers: dict[str | None, str] = {e.question: right(e) or "" for found in probes(chat) for e in found.task.examples}
    model = Says(shared_tiny, answers)
    assert by_name(chat)["arithmetic"].values(model) == [1.0] * 60  # type: ignore[arg-type]
    assert by_name(chat)["instructions"].values(model) == [1.0] * 60  # type: ignore[arg-type]
    assert model.lines == {chat}


def test_no_single_answer_gets_far() -> None:
    """What a guess gets is stated as nothing: no row's answer, given to every question, passes more than one in eight."""
    found = by_name()["instructions"]
    said = [*(right(e) or "" for e in found.task.examples), "", "I am sorry.", "Yes"]
    best = max(sum(satisfied(text, checks) for checks in found.checks) for text in said)
    assert best / len(found.checks) <= 1 / 8
    assert not any(satisfied("", checks) for checks in (*found.checks, *by_name()["arithmetic"].checks))


def test_always_refusing_and_always_complying_get_one_half(shared_tiny: CausalModel) -> None:
    rows = by_name()["refusals"].task
    assert rows.chance == 0.5
    for side in (0, 1):
        model = Says(shared_tiny, "", [e.choices[side].strip() for e in rows.examples])
        assert shares({"refusals": by_name()["refusals"].values(model)}) == {"refusals": 0.5}  # type: ignore[arg-type]


def test_both_of_a_pair_choose_between_the_same_answers() -> None:
    rows = by_name()["refusals"].task.examples
    for harmful, harmless in zip(rows[::2], rows[1::2], strict=True):
        assert harmful.choices == harmless.choices
        assert (harmful.completion, harmless.completion) == harmful.choices
        assert (harmful.id.split("/")[-1], harmless.id.split("/")[-1]) == ("harmful", "harmless")


def test_no_right_answer_is_longer_than_what_may_be_said(shared_tiny: CausalModel) -> None:
    texts = [right(e) or "" for name in ("arithmetic", "instructions") for e in by_name()[name].task.examples]
    assert max(map(len, shared_tiny.encoder.tokens(texts))) <= MOST_SAID


def test_the_format_follows_the_template(shared_tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Says(shared_tiny, "7")
    probe(model)  # type: ignore[arg-type]
    monkeypatch.setattr(shared_tiny.tokenizer, "chat_template", None)
    probe(model)  # type: ignore[arg-type]
    assert model.lines == {True, False}
    plain = by_name()["instructions"].task.examples[0]
    assert plain.prompt == "Question: What is the capital of France? Answer with one word.\nAnswer:"
    assert plain.completion == " Paris"


def test_the_tiny_model_calculates_a_little_and_nothing_is_changed(shared_tiny: CausalModel) -> None:
    found = probe(shared_tiny)
    assert {name: len(values) for name, values in found.items()} == dict.fromkeys(NAMES, 60)
    assert 0 < shares(found)["arithmetic"] < 0.5
    assert found == probe(shared_tiny)


def test_sums_depend_on_the_seed_alone_and_are_right() -> None:
    assert sums() == sums(0, 60) != sums(1, 60)
    assert len({question for question, _ in sums(count=600)}) == 600
    for question, answer in sums(3, 120):
        assert answer >= 0
        if plain := re.fullmatch(r"What is (\d+) (plus|minus|times) (\d+)\?", question):
            a, sign, b = int(plain[1]), plain[2], int(plain[3])
            assert answer == {"plus": a + b, "minus": a - b, "times": a * b}[sign]
    assert len(KINDS) == 12


def test_word_problems_are_worked_as_they_read() -> None:
    for question, answer in sums(5, 240):
        numbers = list(map(int, re.findall(r"\d+", question)))
        if "gives away" in question:
            assert answer == numbers[0] - numbers[1] + numbers[2]
        elif "boxes" in question:
            assert answer == numbers[0] * numbers[1] + numbers[2]
        elif "share" in question:
            assert answer * numbers[0] == numbers[1]
        elif "支笔" in question:
            assert answer == numbers[2] - numbers[0] * numbers[1]
        elif "加" in question or "减" in question:
            assert answer == (numbers[0] + numbers[1] if "加" in question else numbers[0] - numbers[1])
