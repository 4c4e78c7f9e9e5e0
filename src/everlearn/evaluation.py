"""One model measured: every task of a stream, probes, anchor text and lm-eval's tasks, alone or against a second model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from everlearn.errors import DataError, SettingError, did_you_mean
from everlearn.evaluate.divergence import Anchor, Divergence
from everlearn.evaluate.forward import Readable
from everlearn.evaluate.probes import has_template
from everlearn.evaluate.probes import probes as all_probes
from everlearn.evaluate.scores import corpus_measures, right
from everlearn.evaluate.tasks import Task, answers, cell, tasks_of
from everlearn.evaluate.texts import anchor_texts
from everlearn.models.load import Dtype, load_model
from everlearn.scorecard import Against, Difference, Scorecard, Scored, Text
from everlearn.streams.almanac import almanac_stream
from everlearn.streams.files import read_examples
from everlearn.streams.folder import load_stream
from everlearn.types import Example, Stream
from everlearn.version import VERSION

# Told what is being done and which share of it all is done, 0 to 1.
Progress = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class _Exam:
    """What every model is asked."""

    tasks: Sequence[Task]
    probes: bool
    after: int
    texts: Sequence[Example]


def evaluate_model(
    model: str | Path | Readable,
    stream: str | Path | Stream,
    tasks: Sequence[str] = (),
    probes: bool = True,
    against: str | Path | Readable | None = None,
    lm_eval: Sequence[str] = (),
    include_path: str | Path | None = None,
    valid: bool = False,
    after: int | None = None,
    anchor: str | Path | Sequence[Example] | None = None,
    dtype: Dtype = "float32",
    device: str | None = None,
    progress: Progress | None = None,
) -> Scorecard:
    """The model's score on every task of the stream with 95 % intervals, on probes and on anchor text; nothing is learned.

    model: "tiny", a folder, a hub id, or a loaded model, which stays as it was.   stream: "almanac", a folder or a Stream.   tasks: those to
    ask, by default all.   against: a second model; scores are compared example by example, and KL(against || model) is taken. It is measured
    first and let go, so two large models need not fit at once.   lm_eval: names of lm-eval tasks, with include_path a folder of YAML tasks.
    valid: ask the validation rows.   after: the experience after which answers are held true (rows that had changed by then count for
    staleness alone), 0 to the number of experiences, by default all of them.   anchor: text of your own, a file or examples.

    Raises DataError, SettingError or ModelError, before anything is asked wherever that can be known; MissingExtra for lm_eval without lm-eval.
    """
    given = _stream(stream)
    exam = _Exam(_tasks(given, tasks, valid), probes, _after(given, after), _texts(anchor))
    told = progress or _silent
    theirs, start, name = None, None, ""
    if lm_eval:
        from everlearn.evaluate.harness import needs_lm_eval

        needs_lm_eval()
    if against is not None:
        told("loading the model to compare with", 0.0)
        other = _loaded(against, dtype, device)
        name, theirs, start = _name(against), _scores(other, exam, told, 0.0), Anchor.of(other, exam.texts)
        del other
    told("loading the model", 0.0 if theirs is None else 0.5)
    mine = _loaded(model, dtype, device)
    scored = _scores(mine, exam, told, 0.0 if theirs is None else 0.5)
    anchored, kl = _anchored(mine, exam.texts, start)
    compared = None if theirs is None or start is None else Against(name, theirs, _differences(scored, theirs), _text(start.start, start.tokens), kl)
    found = {}
    if lm_eval:
        from everlearn.evaluate.harness import harness

        told("lm-eval", 0.9)
        found = harness(mine, list(lm_eval), include_path)
    return Scorecard(_name(model), given.name, exam.after, scored, anchored, compared, found, VERSION)


def _stream(given: str | Path | Stream) -> Stream:
    if isinstance(given, Stream):
        return given
    return almanac_stream() if str(given) == "almanac" else load_stream(Path(given))


def _tasks(stream: Stream, wanted: Sequence[str], valid: bool) -> list[Task]:
    found = {task.name: task for task in tasks_of(stream.experiences, "valid" if valid else "tests")}
    if not found:
        raise DataError(f"the stream has nothing to test on (stream={stream.name!r}, valid={valid!r}). Add {'valid' if valid else 'test'}.TASK.jsonl files.")
    for name in wanted:
        if name not in found:
            raise SettingError(f"the stream has no such task (task={name!r}, stream={stream.name!r}). {did_you_mean(name, found)}")
    return [found[name] for name in dict.fromkeys(wanted)] if wanted else list(found.values())


def _after(stream: Stream, after: int | None) -> int:
    last = len(stream.experiences)
    if after is not None and not 0 <= after <= last:
        raise SettingError(f"after must be between 0 (before the stream) and {last}, its experiences, got {after!r}. Leave it out for the end.")
    return last if after is None else after


def _texts(anchor: str | Path | Sequence[Example] | None) -> Sequence[Example]:
    texts = anchor_texts() if anchor is None else read_examples(anchor) if isinstance(anchor, str | Path) else anchor
    if not texts:
        raise DataError("there is no anchor text (anchor=[]). Give at least one text, or leave it out for the embedded one.")
    return texts


def _loaded(model: str | Path | Readable, dtype: Dtype, device: str | None) -> Readable:
    return load_model(model, None, dtype, device) if isinstance(model, str | Path) else model


def _name(model: str | Path | Readable) -> str:
    return str(model) if isinstance(model, str | Path) else model.module.config.name_or_path or type(model).__name__


def _scores(model: Readable, exam: _Exam, told: Progress, begun: float) -> list[Scored]:
    scored = []
    for at, task in enumerate(exam.tasks):
        told(f"testing {task.name}", begun + 0.4 * at / len(exam.tasks))
        scored.append(_scored(model, task, exam.after))
    if exam.probes:
        for probe in all_probes(has_template(model)):
            told(f"probing {probe.task.name}", begun + 0.45)
            values = {e.id: value for e, value in zip(probe.task.examples, probe.values(model), strict=True)}
            scored.append(Scored(f"probe: {probe.task.name}", "choice" if not probe.checks else "checked", values, probe.task.chance))
    return scored


def _scored(model: Readable, task: Task, after: int) -> Scored:
    given = answers(model, task)
    counted = [(e, a) for e, a in zip(task.examples, given, strict=True) if e.until is None or after < e.until]
    corpus = corpus_measures(task.score, [right(e) or "" for e, _ in counted], [a for _, a in counted]) if counted else {}
    return Scored(task.name, task.score, {e.id: a.value for e, a in counted}, task.chance, cell(task, given, after)[1], corpus)


def _anchored(model: Readable, texts: Sequence[Example], start: Anchor | None) -> tuple[Text, float | None]:
    """The model on anchor text, and its KL from the start, where there is one that reads the text as the same tokens."""
    if start is None or not start.reads_alike(model):
        mine = Anchor.of(model, texts, top=1)
        return _text(mine.start, mine.tokens), None
    found = start.divergence(model)
    return _text(found, start.tokens), found.kl


def _text(found: Divergence, tokens: int) -> Text:
    return Text(found.perplexity, found.nats_per_byte, tokens)


def _differences(mine: Sequence[Scored], theirs: Sequence[Scored]) -> list[Difference]:
    return [Difference.of(a.name, a.values, b.values) for a, b in zip(mine, theirs, strict=True) if a.values]


def _silent(text: str, share: float) -> None:
    """Tells nobody."""
