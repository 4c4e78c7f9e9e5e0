"""What O-LoRA's, SAPT's and TRACE's files hold, row by row: their keys, their prompts, their published orders and scores."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from everlearn.errors import DataError
from everlearn.streams.rows import short
from everlearn.types import Score

Layout = Literal["o-lora", "sapt", "trace"]

_SHORT = ("dbpedia", "amazon", "yahoo", "agnews")
_LONG = ("MNLI", "CB", "WiC", "COPA", "QQP", "BoolQA", "RTE", "IMDB", "yelp", "amazon", "SST-2", "dbpedia", "agnews", "MultiRC", "yahoo")
_SUPER = (
    "task1572_samsum_summary task363_sst2_polarity_classification task1290_xsum_summarization task181_outcome_extraction "
    "task002_quoref_answer_generation task1510_evalution_relation_extraction task639_multi_woz_user_utterance_generation "
    "task1729_personachat_generate_next task073_commonsenseqa_answer_generation task1590_diplomacy_text_generation "
    "task748_glucose_reverse_cause_event_detection task511_reddit_tifu_long_text_summarization task591_sciq_answer_generation "
    "task1687_sentiment140_classification task875_emotion_classification"
).split()
_SUPER_2 = (10, 8, 9, 6, 0, 13, 12, 1, 5, 7, 3, 11, 4, 2, 14)
_TRACE = ("C-STANCE", "FOMC", "MeetingBank", "Py150", "ScienceQA", "NumGLUE-cm", "NumGLUE-ds", "20Minuten")
_SAPT_LONG = "yelp amazon mnli cb copa qqp rte imdb sst2 dbpedia agnews yahoo multirc boolq wic".split()

# Orders 1 to 3 stand in O-LoRA's scripts, 4 to 6 in its paper (Wang et al. 2023, arXiv:2310.14152); SAPT's stand in its scripts
# (Zhao et al. 2024, arXiv:2401.08295), which call the long ones 4 and 5; TRACE's in its own (Wang et al. 2023, arXiv:2310.06762).
ORDERS: Mapping[Layout, Mapping[str, tuple[str, ...]]] = {
    "o-lora": {
        "order1": _SHORT,
        "order2": ("dbpedia", "amazon", "agnews", "yahoo"),
        "order3": ("yahoo", "amazon", "agnews", "dbpedia"),
        "order4": _LONG,
        "order5": ("MultiRC", "BoolQA", "WiC", "MNLI", "CB", "COPA", "QQP", "RTE", "IMDB", "SST-2", "dbpedia", "agnews", "yelp", "amazon", "yahoo"),
        "order6": ("yelp", "amazon", "MNLI", "CB", "COPA", "QQP", "RTE", "IMDB", "SST-2", "dbpedia", "agnews", "yahoo", "MultiRC", "BoolQA", "WiC"),
    },
    "sapt": {
        "order1": tuple(_SUPER),
        "order2": tuple(_SUPER[at] for at in _SUPER_2),
        "order4": tuple(_SAPT_LONG),
        "order5": ("mnli", "cb", "wic", "copa", "qqp", "boolq", "rte", "imdb", "yelp", "amazon", "sst2", "dbpedia", "agnews", "multirc", "yahoo"),
    },
    "trace": {"order1": _TRACE},
}
# TRACE itself measures code by edit similarity and simplification by SARI; the nearest scores here stand in for them.
TRACE_SCORES: Mapping[str, Score] = {
    **dict.fromkeys(("C-STANCE", "FOMC", "NumGLUE-cm", "NumGLUE-ds"), "exact"),
    "MeetingBank": "rouge",
    "Py150": "chrf",
    "ScienceQA": "choice",
    "20Minuten": "rouge",
}
_LETTER = re.compile(r"(Answer:\s*)?([A-J])(?![A-Za-z])")
_OPTION = re.compile(r"(?m)^\s*\(?([A-J])[.):]\s")
_SUPER_NAME = re.compile(r"task\d+_")


@dataclass(frozen=True, slots=True)
class Form:
    """How the rows of one task are written.

    group: the folder it is in.   labels: every allowed answer, () if that is not known.   instruction: what is asked, before the options.
    named: the task's and the group's names stand in the prompt, as in O-LoRA's own runs.
    """

    task: str
    group: str = ""
    labels: tuple[str, ...] = ()
    instruction: str = ""
    named: bool = False


def o_lora_row(entry: Mapping[str, object], form: Form) -> dict[str, object]:
    """The instruction, the options and the sentence; then the label. COPA has its options in the sentence.

    >>> o_lora_row({"sentence": "Fine food.", "label": "good"}, Form("yelp", "SC", ("bad", "good"), "Good or bad?"))["prompt"]
    'Good or bad?\\nOption: bad, good \\nFine food.\\nAnswer:'
    """
    sentence, label = taken(entry, "sentence"), taken(entry, "label").strip()
    instruction = f"{form.instruction.rstrip()}\n" if form.instruction else ""
    options = f"Option: {', '.join(form.labels)} \n" if form.labels else ""
    asked = "" if form.group == "COPA" else instruction + options
    named = f"Task:{form.group}\nDataset:{form.task}\n" if form.named else ""
    return {"prompt": f"{named}{asked}{sentence}\nAnswer:", "completion": f" {label}"}


def sapt_row(entry: Mapping[str, object], form: Form) -> dict[str, object]:
    """The definition and the input; then the first output. Super-NaturalInstructions tasks (`task123_...`) have SAPT's longer prompt.

    >>> sapt_row({"input": "Fine.", "output": ["good", "well"]}, Form("yelp", instruction="Judge."))
    {'prompt': 'Judge.\\nFine.\\nOutput:', 'completion': ' good'}
    """
    output = entry.get("output")
    text = taken({"output": output[0] if isinstance(output, list) and output else output}, "output").strip()
    definition, given = form.instruction.strip(), taken(entry, "input")
    if _SUPER_NAME.match(form.task):
        prompt = f"Definition: {definition}\n\nNow complete the following example -\nInput: {given}\nOutput:"
    else:
        prompt = (f"{definition}\n" if definition else "") + f"{given}\nOutput:"
    return {"prompt": prompt, "completion": f" {text}"}


def trace_row(entry: Mapping[str, object], form: Form) -> dict[str, object]:
    """The prompt and its answer, a space between them where the prompt ends with a word or mark of ASCII."""
    prompt, answer = taken(entry, "prompt"), taken(entry, "answer")
    apart = prompt[-1:].isascii() and not prompt[-1:].isspace() and not answer[:1].isspace()
    return {"prompt": prompt, "completion": " " * apart + answer}


ROWS: Mapping[Layout, Callable[[Mapping[str, object], Form], dict[str, object]]] = {"o-lora": o_lora_row, "sapt": sapt_row, "trace": trace_row}


def taken(entry: Mapping[str, object], key: str) -> str:
    """A text of a benchmark's entry; numbers become text."""
    value = entry.get(key)
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise DataError(f"{key} must be text ({key}={short(value)}, keys={short(list(entry))}). Each entry holds one. Correct it.")


def as_test(row: Mapping[str, object], layout: Layout, form: Form) -> dict[str, object]:
    """A test row with its choices, where they are known: the labels, or the letters that the prompt of a ScienceQA question lists."""
    completion = str(row["completion"])
    if layout == "trace" and form.task == "ScienceQA":
        found, letters = _LETTER.match(completion.lstrip()), sorted(set(_OPTION.findall(str(row["prompt"]))))
        if found is None or found[2] not in letters or len(letters) < 2:
            return dict(row)
        start = completion[: len(completion) - len(completion.lstrip())] + (found[1] or "")
        return {**row, "completion": start + found[2], "choices": [start + letter for letter in letters]}
    choices = [f" {label}" for label in form.labels] if layout == "o-lora" else []
    return {**row, "choices": choices} if completion in choices and len(set(choices)) == len(choices) > 1 else dict(row)


def published_score(layout: Layout, task: str) -> Score | None:
    """The score its authors report for a task, in the nearest kind there is here; None for a task they do not have."""
    if layout == "trace":
        return TRACE_SCORES.get(task)
    return "rouge" if layout == "sapt" and _SUPER_NAME.match(task) else "exact"


def published_order(layout: Layout, tasks: Sequence[str]) -> tuple[str, tuple[str, ...]]:
    """The longest published order whose tasks are all there, with its name; else all tasks, the published ones first, the name "".

    >>> published_order("o-lora", ["agnews", "amazon", "dbpedia", "yahoo", "yelp"])
    ('order1', ('dbpedia', 'amazon', 'yahoo', 'agnews'))
    """
    whole = [(name, order) for name, order in ORDERS[layout].items() if set(order) <= set(tasks)]
    if whole:
        return max(whole, key=lambda pair: len(pair[1]))
    known = [task for task in dict.fromkeys(task for order in ORDERS[layout].values() for task in order) if task in tasks]
    return "", (*known, *sorted(set(tasks) - set(known)))
