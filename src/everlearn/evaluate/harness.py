"""lm-eval's tasks on any LanguageModel of ours."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch

from everlearn.errors import DataError, MissingExtra, SettingError
from everlearn.evaluate.forward import Readable, likelihoods
from everlearn.models.pairs import PairEncoder
from everlearn.types import Example, Row

SEED, FEWSHOT_SEED = 0, 1234  # lm-eval's own defaults, so that the same examples are shown
LONGEST_SAID = 256  # tokens of an answer where the task does not say; lm-eval's own default


class Requests:
    """What lm-eval asks of a model, answered by one of ours.

    Prompts begin with the tokenizer's start token, where it has one, as everywhere in everlearn (lm-eval's own models leave it out unless
    told add_bos_token=True); an encoder-decoder model reads the context and answers the continuation. Of too long a context the beginning is left out.

    >>> from everlearn import load_model
    >>> Requests(load_model("tiny")).generate([("Question: What is 7 plus 5?\\nAnswer:", {"until": ["\\n"], "max_gen_toks": 8})])
    [' 12']
    """

    def __init__(self, model: Readable) -> None:
        self.model, self.encoder = model, model.encoder

    def loglikelihood(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        """(nats of the continuation after the context, whether greedy would say it) for each pair."""
        return likelihoods(self.model, [self._row(*_space_moved(context, continuation)) for context, continuation in pairs])

    def rolling(self, texts: Sequence[str]) -> list[float]:
        """Nats of each text read from its start, every token once; a longer text than the model reads goes in windows as full as possible."""
        rows = [self._windows(text) for text in texts]
        found = iter(likelihoods(self.model, [row for windows in rows for row in windows]))
        return [sum(next(found)[0] for _ in windows) for windows in rows]

    def generate(self, asked: Sequence[tuple[str, Mapping[str, Any]]]) -> list[str]:
        """The greedy continuation of each context up to the first of its `until` texts, which is left out.

        Raises SettingError for sampling: everlearn answers greedily, so that a score can be had again.
        """
        said, wanted = [""] * len(asked), dict[tuple[int, bool], list[int]]()
        stops = [[stop for stop in given["until"] if stop] for _, given in asked]
        for number, (_, given) in enumerate(asked):
            if given.get("do_sample"):
                raise SettingError(f"an lm-eval task asks for sampling (do_sample={given['do_sample']!r}). everlearn answers greedily; set do_sample: false.")
            limit = int(given.get("max_gen_toks", LONGEST_SAID))
            wanted.setdefault((limit, "\n" not in stops[number]), []).append(number)
        for (limit, lines), numbers in wanted.items():
            prompts = [Example(prompt=asked[number][0], completion="") for number in numbers]
            for number, text in zip(numbers, self.model.generate(prompts, limit, lines=lines), strict=True):
                said[number] = text[: min((at for stop in stops[number] if (at := text.find(stop)) >= 0), default=len(text))]
        return said

    def _row(self, context: str, continuation: str) -> Row:
        example = Example(prompt=context, completion=continuation)
        if isinstance(self.encoder, PairEncoder):
            return self._target(example)
        before, whole = self.encoder.tokens([context, context + continuation])
        after = whole[len(before) :] or self.encoder.tokens([continuation])[0]  # a tokenizer may merge the two into one token
        start = self._start(before)
        tokens = [*start, *[*before, *after][-(self.encoder.longest - len(start)) :]]
        return Row(example, tuple(tokens), tuple(range(max(1, len(tokens) - len(after)), len(tokens))))

    def _start(self, tokens: list[int]) -> list[int]:
        """What comes before the first token: the start token, unless the text has it, or without one the end of the text before."""
        start = self.encoder.start
        return [] if start and tokens[:1] == start else start or ([] if tokens else [self.encoder.end])

    def _windows(self, text: str) -> list[Row]:
        example = Example(text=text)
        if isinstance(self.encoder, PairEncoder):
            return [self._target(Example(prompt="", completion=text))]
        tokens = [*(self.encoder.start or [self.encoder.end]), *self.encoder.tokens([text])[0]]
        most, rows, done = self.encoder.longest - 1, list[Row](), 1
        while done < len(tokens):
            end = min(done + most, len(tokens))
            start = max(0, end - most - 1)
            rows.append(Row(example, tuple(tokens[start:end]), tuple(range(done - start, end - start))))
            done = end
        return rows

    def _target(self, example: Example) -> Row:
        """An encoder-decoder model's row without the end of the answer."""
        assert isinstance(self.encoder, PairEncoder)
        wanted, room, cut = len(self.encoder.tokens([example.completion or ""])[0]), self.encoder.room, self.encoder.cut
        if wanted > room:
            start = (example.completion or "")[:40]
            raise DataError(f"a text of an lm-eval task does not fit the model ({wanted} tokens, text={start!r}). Its decoder gives at most {room}.")
        row = self.encoder.rows([example])[0]
        self.encoder.cut = cut  # that counts what is learned
        end = len(row.learned) - wanted  # of the answer, unless it was cut off
        return Row(example, row.tokens[: len(row.tokens) - end], row.learned[:wanted])


def harness(
    model: Readable, tasks: Sequence[str], include_path: str | Path | None = None, limit: int | None = None, chat: bool = False
) -> dict[str, dict[str, float]]:
    """The metrics of lm-eval's tasks by task, such as {"my_task": {"acc": 0.5, "acc_stderr": 0.1}}; the model and all random states stay as found.

    tasks: names, groups, tags or YAML files.   include_path: a folder of YAML tasks of your own.   limit: so many examples of each task, for a
    trial.   chat: ask in messages by the tokenizer's chat template.   A metric of another filter than lm-eval's "none" is named "metric,filter".

    Raises MissingExtra without lm-eval, SettingError for an unknown task, and DataError where a task's data cannot be read.
    """
    needs_lm_eval()
    if limit is not None and limit < 1:
        raise SettingError(f"limit must be at least 1, got {limit!r}. It is the number of examples of each task; leave it out for all.")
    if include_path is not None and not Path(include_path).is_dir():
        raise SettingError(f"include_path must be a folder of YAML tasks, got {str(include_path)!r}. Check the path.")
    with _seeded():
        loaded = _loaded(tasks, include_path)
        for task in loaded["tasks"].values():
            if task.get_config("num_fewshot") is None:
                task.set_config(key="num_fewshot", value=0)
            task.set_fewshot_seed(seed=FEWSHOT_SEED)
        evaluate = import_module("lm_eval.evaluator").evaluate
        found = evaluate(lm=_adapter(model), task_dict=loaded, limit=limit, log_samples=False, apply_chat_template=chat, verbosity=None)
    return {name: _metrics(given) for name, given in found["results"].items()}


def needs_lm_eval() -> None:
    """Raise MissingExtra if lm-eval is not installed."""
    if find_spec("lm_eval") is None:
        raise MissingExtra('lm-eval is not installed, and lm-eval tasks need it. Run pip install "everlearn[eval]".')


def _loaded(tasks: Sequence[str], include_path: str | Path | None) -> Any:
    """The tasks as lm-eval loads them; its own fourteen thousand are listed (some seconds) only if the folder alone will not do."""
    make, own = import_module("lm_eval.tasks").TaskManager, None if include_path is None else str(include_path)
    manager = make(include_path=own, include_defaults=False)
    try:
        try:
            return manager.load(list(tasks))
        except KeyError:
            manager = make(include_path=own)
        for name in tasks:
            if name not in manager.all_tasks and not Path(name).is_file():
                close = get_close_matches(name, manager.all_tasks, n=3)
                more = f"Did you mean {' or '.join(map(repr, close))}?" if close else "`lm_eval ls tasks` lists them."
                raise SettingError(f"lm-eval has no such task (task={name!r}, include_path={own!r}). {more}")
        return manager.load(list(tasks))
    except OSError as problem:
        raise DataError(f"the data of an lm-eval task cannot be read (tasks={list(tasks)!r}): {problem}. Check its dataset_path, or the network.") from problem


def _adapter(model: Readable) -> Any:
    """The model as an lm_eval.api.model.LM."""
    base, settings = import_module("lm_eval.api.model").LM, import_module("lm_eval.models.utils").normalize_gen_kwargs
    requests, tokenizer = Requests(model), model.encoder.tokenizer

    class Adapter(base):  # type: ignore[misc, valid-type]
        tokenizer_name = str(tokenizer.name_or_path).replace("/", "__")

        def loglikelihood(self, given: list[Any]) -> list[tuple[float, bool]]:
            return requests.loglikelihood([one.args for one in given])

        def loglikelihood_rolling(self, given: list[Any]) -> list[float]:
            return requests.rolling([one.args[0] for one in given])

        def generate_until(self, given: list[Any]) -> list[str]:
            return requests.generate([(one.args[0], settings(one.args[1], LONGEST_SAID)) for one in given])

        def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
            going_on = not add_generation_prompt  # the last turn is the assistant's own beginning
            return str(tokenizer.apply_chat_template(chat_history, tokenize=False, add_generation_prompt=not going_on, continue_final_message=going_on))

        def chat_template(self, chat_template: bool | str = False) -> str:
            return str(tokenizer.chat_template or "")

    return Adapter()


def _space_moved(context: str, continuation: str) -> tuple[str, str]:
    """White space between the two belongs to the continuation, where tokenizers put it; as lm-eval does."""
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation


def _metrics(given: Mapping[str, object]) -> dict[str, float]:
    return {name.removesuffix(",none"): float(value) for name, value in given.items() if isinstance(value, int | float) and "," in name}


@contextmanager
def _seeded() -> Iterator[None]:
    """lm-eval's seeds inside; the random states of Python, NumPy and PyTorch are afterwards what they were."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng():
        random.seed(SEED)
        np.random.seed(FEWSHOT_SEED)
        torch.manual_seed(FEWSHOT_SEED)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numpy)
