"""One check of all data: what it holds, what contradicts, what is tested and taught, what a model would cut, what learning it would cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from everlearn.data_check.gather import LEARNED, Gathered, Part, gather
from everlearn.data_check.languages import languages_in
from everlearn.data_check.lengths import Spread, Tokens, tokens_of
from everlearn.data_check.near import MOST_ROWS, near_duplicates
from everlearn.data_check.overlap import Pair, changes, conflicts, repeated, taught
from everlearn.data_check.report import WRONG, DataReport, FileReport
from everlearn.data_check.text import answer, normalised, parts_of, shown, whole
from everlearn.errors import DataError, SettingError, did_you_mean
from everlearn.streams.files import check_share
from everlearn.types import Example, Stream

if TYPE_CHECKING:
    from everlearn.data_check.cost import Cost
    from everlearn.learn.settings import Settings
    from everlearn.models.adapters import Lora
from everlearn.models.load import Dtype

MOST_LABELS = 20  # different completions that still are labels, each standing five times on average


@dataclass(frozen=True, slots=True)
class ForModel:
    """The model that is to learn the data, as `load_model` takes it, and how.

    methods: the runs whose cost is estimated, as `compare` takes them.   settings: by default those of `compare`.   steps: real steps the
    estimate rests on, 0 for no estimate of time and memory.

    >>> from everlearn import Example, Experience, Settings
    >>> towns = Stream("towns", (Experience("first", (Example(prompt="Capital of Kenya?", completion=" Nairobi"),)),))
    >>> report = check_data(towns, ForModel("tiny", methods="plain", settings=Settings(passes=5), steps=1))
    >>> report.files[0].truncated, [method.steps for method in report.cost.methods]
    (0, [5])
    """

    model: str | Path
    methods: str = "plain,keep_current"
    settings: Settings | None = None
    lora: Lora | Literal["auto"] | None = "auto"
    dtype: Dtype = "float32"
    device: str | None = None
    steps: int = 4


def check_data(
    data: str | Path | Stream,
    model: str | Path | ForModel | None = None,
    most_bad: float = 0.0,
    allow: Sequence[str] = (),
    subset: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> DataReport:
    """What is in the data, and what of it would make results untrustworthy.

    data: a file, a stream's or a benchmark's folder, "hub:org/name[:split]", "almanac", or a Stream.   model: also measure in its tokens and
    estimate what learning would cost.   most_bad: share of a file's lines, 0 to 1, that may be bad.   allow: findings that are meant, of
    "conflicts", "taught_tests", "truncated_answers".   subset, columns: of a hub dataset, as for `read_hub`.

    Raises DataError where nothing can be read, SettingError for the settings, ModelError for the model.

    >>> from everlearn import Example, Experience
    >>> rows = (Example(prompt="Capital of Kenya?", completion=" Nairobi"), Example(prompt="Capital of Kenya?", completion=" Mombasa"))
    >>> report = check_data(Stream("towns", (Experience("first", rows),)))
    >>> dict(report.wrong), report.files[0].conflicts
    ({'conflicts': 1}, 1)
    """
    check_share(most_bad)
    unknown = [name for name in allow if name not in WRONG]
    if unknown:
        raise SettingError(f"there is no such finding to allow (allow={unknown[0]!r}). {did_you_mean(unknown[0], WRONG)}")
    gathered = gather(data, subset, columns)
    pairs = {
        "conflicts": tuple(conflicts(gathered.parts)),
        "changes": tuple(changes(gathered.parts)),
        "taught": tuple(taught(gathered.parts)),
        "repeated": tuple(repeated(gathered.parts)),
        "near": tuple(_near(gathered.parts)),
    }
    tokens, cost, problems, notes = _for_model(gathered, ForModel(model) if isinstance(model, str | Path) else model)
    near = sum(len(part.reading.examples) for part in gathered.parts if part.role in LEARNED)
    notes += (f"near-duplicates were looked for in the first {MOST_ROWS:,} of {near:,} rows",) if near > MOST_ROWS else ()
    spoken = [Counter(name for example in part.reading.examples for name in languages_in(parts_of(example))) for part in gathered.parts]
    files = tuple(_file_report(part, pairs, told, of) for part, told, of in zip(gathered.parts, spoken, tokens, strict=True))
    truncated = tuple(line for part, of in zip(gathered.parts, tokens, strict=True) if of for line in _truncated(part, of))
    problems = (*gathered.problems, *problems)
    wrong = _wrong(files, problems, most_bad, allow)
    languages = _shares(sum(spoken, Counter()), sum(len(part.reading.examples) for part in gathered.parts))
    return DataReport(gathered.name, gathered.kind, files, pairs, languages, truncated, problems, wrong, cost, notes)


def _wrong(files: Sequence[FileReport], problems: Sequence[str], most_bad: float, allow: Sequence[str]) -> dict[str, int]:
    counts = {
        "bad_lines": sum(len(file.bad) for file in files if len(file.bad) > most_bad * file.rows),
        "conflicts": sum(file.conflicts for file in files),
        "taught_tests": sum(file.taught for file in files),
        "truncated_answers": sum(file.truncated_answers or 0 for file in files),
        "problems": len(problems),
    }
    return {name: count for name, count in counts.items() if count and name not in allow}


def _near(parts: Sequence[Part]) -> list[Pair]:
    rows = [(part, example) for part in parts if part.role in LEARNED for example in part.reading.examples]
    texts = [normalised(whole(example)) for _, example in rows]
    contents = [example.content for _, example in rows]
    found = []
    for later, earlier, similar in near_duplicates(texts):
        (part, example), (other, first) = rows[later], rows[earlier]
        if contents[later] != contents[earlier]:  # equal content is reported as such
            found.append(Pair(str(part.reading.path), part.place(example), other.place(first), f"similar by {similar:.2f}: {shown(whole(example))}"))
    return found


def _file_report(part: Part, pairs: Mapping[str, Sequence[Pair]], spoken: Counter[str], tokens: Tokens | None) -> FileReport:
    reading, name = part.reading, str(part.reading.path)
    counts = {kind: sum(pair.file == name for pair in found) for kind, found in pairs.items()}
    cuts = tokens.cuts if tokens else ()
    return FileReport(
        file=name,
        role=part.role,
        experience=part.experience,
        task=part.task,
        rows=reading.rows,
        examples=len(reading.examples),
        bad=dict(reading.bad),
        empty=sum(" is empty (" in why for why in reading.bad.values()),
        near=counts["near"],
        conflicts=counts["conflicts"],
        taught=counts["taught"],
        characters=Spread.of(len(whole(example)) for example in reading.examples),
        languages=_shares(spoken, len(reading.examples)),
        labels=_labels(reading.examples),
        tokens=tokens.lengths if tokens else None,
        truncated=len(cuts) if tokens else None,
        truncated_answers=sum(cut.answer > 0 for cut in cuts) if tokens else None,
        lost_prompt=sum(cut.prompt for cut in cuts) if tokens else None,
        lost_answer=sum(cut.answer for cut in cuts) if tokens else None,
    )


def _shares(counts: Counter[str], rows: int) -> dict[str, float]:
    return {name: count / rows for name, count in counts.most_common()}


def _labels(examples: Sequence[Example]) -> dict[str, int]:
    """How often each completion is given, where a few stand for all."""
    counts = Counter[str]()
    for example in examples:
        if (said := answer(example)) is not None:
            counts[said] += example.count
    return dict(counts.most_common()) if len(counts) <= MOST_LABELS and counts.total() >= 5 * len(counts) else {}


def _truncated(part: Part, tokens: Tokens) -> list[str]:
    return [f"{part.place(cut.example)}: {cut.tokens} tokens, loses {cut.prompt} of the prompt and {cut.answer} of the answer" for cut in tokens.cuts]


def _for_model(gathered: Gathered, wanted: ForModel | None) -> tuple[list[Tokens | None], Cost | None, tuple[str, ...], tuple[str, ...]]:
    """Each part's tokens, the cost, and what kept them from being measured: problems and notes."""
    if wanted is None:
        return [None] * len(gathered.parts), None, (), ()
    from everlearn.config import parse_methods
    from everlearn.data_check.cost import estimate
    from everlearn.learn.settings import Settings
    from everlearn.models.load import load_model
    from everlearn.models.weights import TrainedModel

    if wanted.steps < 0:
        raise SettingError(f"steps must be 0 or more (steps={wanted.steps!r}). It is how many real steps the estimate rests on; 0 is for none.")
    recipes, settings = parse_methods(wanted.methods), wanted.settings or Settings()

    def load() -> TrainedModel:
        return load_model(wanted.model, wanted.lora, wanted.dtype, wanted.device)

    encoder = load().encoder
    tokens: list[Tokens | None] = []
    problems: list[str] = []
    for part in gathered.parts:
        try:
            tokens.append(tokens_of(encoder, part.reading.examples))
        except DataError as problem:
            tokens.append(None)
            problems.append(f"{part.reading.path}: {problem}")
    learned = [of for part, of in zip(gathered.parts, tokens, strict=True) if part.role == "train"]
    counted = [of for of in learned if of is not None and of.learned]
    if not wanted.steps or problems or len(counted) < len(learned) or not learned:
        return tokens, None, tuple(problems), () if not wanted.steps else ("without rows that can be learned there is no estimate of cost",)
    try:
        return tokens, estimate(gathered, counted, load, recipes, settings, wanted.steps), (), ()
    except DataError as problem:
        return tokens, None, (str(problem),), ()
