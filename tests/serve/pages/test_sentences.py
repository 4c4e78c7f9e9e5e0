"""What a home records in English is told in Chinese: every sentence the gate can say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from everlearn import Home
from everlearn.serve.pages.sentences import TOLD, sentence
from everlearn.serve.uploads import WHY
from everlearn.upkeep.arriving import _LIMITS, _cannot_show
from everlearn.upkeep.rebase import STEP
from everlearn.versions.gate import Evidence, Paired, Rules, decide

UP, DOWN, SAME = Paired([0.0] * 20, [1.0] * 20), Paired([1.0] * 20, [0.0] * 20), Paired([1.0] * 20, [1.0] * 20)
LITTLE, LUCK, SLIGHT = Paired([0.0] * 100, [1.0] + [0.0] * 99), Paired([0.0] * 4, [1.0] * 2 + [0.0] * 2), Paired([1.0] * 20, [0.0] + [1.0] * 19)
ODD = "a task 'of' \"two\" lost 1.0 points"


def said() -> Iterator[str]:
    """All that can be recorded."""
    strict = Rules(most_kl=0.1, most_perplexity=1.1)
    for new, old in (
        (UP, {}),
        (UP, {"a": SAME}),
        (UP, {"a": SAME, ODD: SLIGHT}),
        (UP, {"a": DOWN, "b": DOWN}),
        (SAME, {}),
        (LITTLE, {}),
        (LUCK, {}),
        (DOWN, {}),
    ):
        yield from decide(Evidence(new={ODD: new}, old=old), Rules()).reasons
        yield from decide(Evidence(new={"n": new}, old=old), Rules(least_gain=None)).reasons
    yield from decide(Evidence(new={"n": UP}, probes={"it's": DOWN}, stale=0.9, kl=0.2, perplexity=1.5), strict).reasons
    yield from decide(Evidence(), Rules()).reasons
    yield from decide(Evidence(new={"n": UP}, old={"a": Paired([1.0], [float("nan")])}), Rules()).reasons
    yield from decide(Evidence(broken="a loss is no number."), Rules()).reasons
    yield from (*_cannot_show(0, 4), *_cannot_show(3, 9), *_LIMITS, STEP, WHY.format(7))
    yield "Version 0 is the model as it is."
    yield "Version 12 is a newer base as it is."
    yield "No longer tested, as this update answers the same questions otherwise: 6 of owls, 2 of news."
    yield "It has rows from 'theirs', '' and 2 more, and [watch] trusted is ['ours*']. Let it in with `everlearn approve HOME 12`."
    yield "The owner of the home rejected it."


def test_every_sentence_is_told_in_chinese_and_every_pattern_is_needed() -> None:
    sentences = list(dict.fromkeys(said()))
    unknown = [text for text in sentences if not sentence(text, "zh").known]
    assert unknown == []
    used = {pattern for pattern, _ in TOLD for text in sentences if re.fullmatch(pattern, text, re.DOTALL)}
    assert {pattern for pattern, _ in TOLD} - used == set()
    for text in sentences:
        numbers = re.findall(r"\d+\.\d+", text)
        assert [n for n in numbers if n not in sentence(text, "zh").text] == []
        assert sentence(text, "en").text == text


def test_a_sentence_is_told_as_a_reader_would_say_it() -> None:
    lost = "New task 'a' lost 30.0 points, from 100.0 % to 70.0 % on 20 rows (p = 0.0156), and 2.0 are allowed."
    assert sentence(lost, "zh").text == "新任务 'a' 下降 30.0 个百分点：20 条测试从 100.0 % 到 70.0 %（p = 0.0156），允许 2.0。"
    assert sentence(lost.replace("New task 'a'", "All earlier tasks together"), "zh").text.startswith("全部原有任务合计下降 30.0")


@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_is_recorded_is_escaped(language: str) -> None:
    text = "Learning broke the model: <b>x</b>"
    assert "<b>" not in sentence(text, language).__html__()
    other = sentence("no such sentence <i>", "zh").__html__()
    assert other == '<span lang="en">no such sentence &lt;i&gt;</span>'


def test_the_sentences_of_a_home_are_known(lived: Path) -> None:
    home = Home(lived)
    for version in home.versions():
        for text in version.reasons:
            assert sentence(text, "zh").known, text
