"""The sentences that a home recorded, told in Chinese: the gate's reasons, what tests cannot show, why a file waits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

NUMBER = r"[-+\d.einfa]+"
WENT = rf"he (?P<n>\d+) new test rows went from (?P<a>{NUMBER}) % to (?P<b>{NUMBER}) %"
KEPT = rf"No loss beyond what is allowed and surely more than chance: the (?P<n>\d+) earlier test rows went from (?P<a>{NUMBER}) % to (?P<b>{NUMBER}) %"
WHAT = r"(?:(?P<new>New t|T)ask (?P<task>['\"].*['\"])|(?P<all>All earlier tasks together)|The probe (?P<probe>['\"].*['\"]))"
LET_IN = r"Let it in with `everlearn approve HOME (?P<n>\d+)`\."

TOLD: Sequence[tuple[str, str]] = (
    (rf"Enough was learned: t{WENT}\.", "学到的足够多：{n} 条新测试从 {a} % 到 {b} %。"),
    (rf"T{WENT}\.", "{n} 条新测试从 {a} % 到 {b} %。"),
    (
        rf"Nothing was learned: t{WENT}, and a gain of (?P<c>{NUMBER}) points is asked for\.",
        "什么也没学到：{n} 条新测试从 {a} % 到 {b} %，要求提高 {c} 个百分点。",
    ),
    (
        rf"Too little was learned: t{WENT}, and a gain of (?P<c>{NUMBER}) points is asked for\.",
        "学到的太少：{n} 条新测试从 {a} % 到 {b} %，要求提高 {c} 个百分点。",
    ),
    (
        rf"What was learned may be chance: t{WENT} \(p = (?P<p>{NUMBER}), and at most (?P<q>{NUMBER}) counts as sure\)\.",
        "提高可能出于偶然：{n} 条新测试从 {a} % 到 {b} %（p = {p}，不超过 {q} 才算可靠）。",
    ),
    (r"Nothing shows what was learned: there are no new test rows\.", "无法说明学到了什么：没有新的测试。"),
    (
        rf"{WHAT} lost (?P<lost>{NUMBER}) points, from (?P<a>{NUMBER}) % to (?P<b>{NUMBER}) % on (?P<n>\d+) rows \(p = (?P<p>{NUMBER})\), and (?P<most>{NUMBER}) are allowed\.",
        "{what}下降 {lost} 个百分点：{n} 条测试从 {a} % 到 {b} %（p = {p}），允许 {most}。",
    ),
    (rf"{WHAT} has scores that are no numbers\.", "{what}的成绩不是数字。"),
    (rf"The model moved (?P<a>{NUMBER}) nats a token on anchor text, and (?P<b>{NUMBER}) are allowed\.", "模型在锚定文本上每词元偏移 {a} 纳特，允许 {b}。"),
    (
        rf"Perplexity on anchor text is (?P<a>{NUMBER}) times the start's, and (?P<b>{NUMBER}) times is allowed\.",
        "锚定文本上的困惑度是初始的 {a} 倍，允许 {b} 倍。",
    ),
    (
        rf"(?P<a>{NUMBER}) % of the changed answers are still given as they were before, and (?P<b>{NUMBER}) % are allowed\.",
        "答案已变更的问题中，{a} % 仍按旧答案回答，允许 {b} %。",
    ),
    (rf"{KEPT}\.", "没有超出允许范围且确非偶然的损失：{n} 条原有测试从 {a} % 到 {b} %。"),
    (
        rf"{KEPT}; (?P<task>['\"].*['\"]) changed most, by (?P<c>{NUMBER}) points of (?P<rows>\d+) rows \(p = (?P<p>{NUMBER})\)\.",
        "没有超出允许范围且确非偶然的损失：{n} 条原有测试从 {a} % 到 {b} %；变化最大的是 {task}，{rows} 条测试变化 {c} 个百分点（p = {p}）。",
    ),
    (r"No earlier task was tested, so nothing shows what was lost\.", "没有测试原有任务，无法说明丢掉了什么。"),
    (r"Learning broke the model: (?P<rest>.*)", "学习损坏了模型：{rest}"),
    (r"Version (?P<n>\d+) is the model as it is\.", "版本 {n} 是模型的初始状态。"),
    (r"Version (?P<n>\d+) is a newer base as it is\.", "版本 {n} 是新的基础模型的初始状态。"),
    (r"A step of a rebase, which only its last version decides\.", "更换基础模型的中间步骤，由最后一个版本决定。"),
    (
        r"No test rows came with this update, and it is too small to hold any out: (?P<n>\d+) taught rows were asked again\.",
        "没有附带测试，数据也太少，无法留出：重新提问了 {n} 条已学内容。",
    ),
    (
        r"No test rows came with this update: (?P<n>\d+) of its rows were held out, and (?P<m>\d+) taught ones were asked again\.",
        "没有附带测试：留出 {n} 条用于测试，并重新提问了 {m} 条已学内容。",
    ),
    (
        r"That cannot show whether what was taught is true, nor whether it is known in other words than the taught ones; give --test with rows that you trust\.",
        "这样无法说明所学是否正确，也无法说明换一种问法是否仍然掌握；请附上可信的测试文件。",
    ),
    (
        r"No longer tested, as this update answers the same questions otherwise: (?P<rest>.*)\.",
        "因本次更新对同样的问题给出不同答案，以下测试不再使用：{rest}。",
    ),
    (rf"It has rows from (?P<rest>.*), and \[watch\] trusted is (?P<list>.*)\. {LET_IN}", "含有来自 {rest} 的数据，而 [watch] trusted 为 {list}。"),
    (rf"It came over HTTP from a source that \[serve\] trusted does not name\. {LET_IN}", "文件通过 HTTP 上传，其来源不在 [serve] trusted 之列。"),
    (r"The owner of the home rejected it\.", "所有者拒绝了该文件。"),
)


@dataclass(frozen=True, slots=True)
class Sentence:
    """A recorded sentence as it is shown. known: it is told in the page's language."""

    text: str
    known: bool

    def __html__(self) -> Markup:
        return escape(self.text) if self.known else Markup('<span lang="en">{}</span>').format(self.text)


def sentence(text: str, language: str) -> Sentence:
    """The sentence in this language; one that has no Chinese stays in English, and says so to a screen reader.

    >>> sentence("The owner of the home rejected it.", "zh").text, sentence("a.jsonl:1: not JSON", "zh").known
    ('所有者拒绝了该文件。', False)
    """
    if language == "en":
        return Sentence(text, True)
    for pattern, told in _COMPILED:
        if found := pattern.fullmatch(text):
            given = {name: value for name, value in found.groupdict().items() if value is not None}
            return Sentence(told.format(**given, what=_what(given)), True)
    return Sentence(text, False)


def _what(given: dict[str, str]) -> str:
    if "probe" in given:
        return f"探针 {given['probe']} "
    return "全部原有任务合计" if "all" in given else f"{'新任务' if 'new' in given and given['new'] != 'T' else '任务'} {given.get('task', '')} "


_COMPILED = tuple((re.compile(pattern, re.DOTALL), told) for pattern, told in TOLD)
