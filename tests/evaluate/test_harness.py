"""lm-eval's requests on our models: against lm-eval's own, and whole tasks from local files."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import pytest
import torch

from everlearn import CausalModel, DataError, MissingExtra, SettingError
from everlearn.evaluate import harness as harness_file
from everlearn.evaluate.harness import Requests, harness
from everlearn.models.seq2seq import Seq2SeqModel

lm_eval = pytest.importorskip("lm_eval")
pytestmark = pytest.mark.filterwarnings("default")  # of lm-eval and what it imports

PROMPT = "Question: What is {} plus {}?\nAnswer:"
SUMS = [(7, 5), (3, 4), (2, 6), (9, 1)]
TASKS = {
    "sums_choice": "output_type: multiple_choice\ndoc_to_text: '{{question}}'\ndoc_to_choice: '{{options}}'\ndoc_to_target: '{{label}}'\n"
    "metric_list:\n  - metric: acc\n  - metric: acc_norm\n",
    "sums_said": "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: ' {{answer}}'\n"
    "generation_kwargs:\n  until: ['\\n']\n  max_gen_toks: 8\nmetric_list:\n  - metric: exact_match\n",
    "sums_text": "output_type: loglikelihood_rolling\ndoc_to_text: ''\ndoc_to_target: '{{question}}{{answer}}'\nmetric_list:\n  - metric: bits_per_byte\n",
    "sums_drawn": "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{answer}}'\n"
    "generation_kwargs:\n  do_sample: true\n  temperature: 0.7\n  max_gen_toks: 8\nmetric_list:\n  - metric: exact_match\n",
    "sums_lost": "output_type: generate_until\ndoc_to_text: '{{question}}'\ndoc_to_target: '{{answer}}'\nmetric_list:\n  - metric: exact_match\n",
}


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    rows = [{"question": PROMPT.format(a, b), "answer": f"{a + b}", "options": [f"{a + b}", f"{a + b + 1}"], "label": 0} for a, b in SUMS]
    (folder / "sums.json").write_text("\n".join(map(json.dumps, rows)) + "\n")
    for name, body in TASKS.items():
        data = folder / ("sums.json" if name != "sums_lost" else "nowhere.json")
        head = f"task: {name}\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {data}\n  cache_dir: {tmp_path / 'cache'}\ntest_split: test\n"
        (folder / f"{name}.yaml").write_text(head + body)
    return folder


def test_whole_tasks_run_from_local_files(shared_tiny: CausalModel, tasks: Path) -> None:
    states = random.getstate(), str(np.random.get_state()), torch.get_rng_state()
    found = harness(shared_tiny, ["sums_choice", "sums_said", "sums_text"], tasks)
    assert {name: found["sums_choice"][name] for name in ("acc", "acc_norm")} == {"acc": 1.0, "acc_norm": 1.0}
    assert found["sums_said"]["exact_match"] == 1.0
    texts = [PROMPT.format(a, b) + str(a + b) for a, b in SUMS]
    nats = -sum(Requests(shared_tiny).rolling(texts))
    assert found["sums_text"]["bits_per_byte"] == pytest.approx(nats / sum(map(len, texts)) / np.log(2))
    assert (random.getstate(), str(np.random.get_state())) == states[:2]
    assert torch.equal(torch.get_rng_state(), states[2])


def test_a_limit_and_the_chat_template_hold(shared_tiny: CausalModel, tasks: Path) -> None:
    asked: list[str] = []

    class Spy(CausalModel):
        def generate(self, prompts, limit, lines=False):  # type: ignore[no-untyped-def]
            asked.extend(e.prompt or "" for e in prompts)
            return super().generate(prompts, limit, lines)

    harness(Spy(shared_tiny.module, shared_tiny.tokenizer), ["sums_said"], tasks, limit=2, chat=True)
    assert asked == [f"<|endoftext|>Question: {PROMPT.format(a, b)}\nAnswer:" for a, b in SUMS[:2]]


def test_an_encoder_decoder_model_runs(small_t5: Seq2SeqModel, tasks: Path) -> None:
    found = harness(small_t5, ["sums_choice"], tasks)
    assert 0 <= found["sums_choice"]["acc"] <= 1
    pairs = [("What is 7 plus 5?", "12"), ("", "a text")]
    score = [small_t5.score([harness_file.Example(prompt=a, completion=b)], [[b]])[0][0] for a, b in pairs]
    assert [nats for nats, _ in Requests(small_t5).loglikelihood(pairs)] == pytest.approx(score, abs=1e-4)
    assert Requests(small_t5).rolling(["a text"]) == pytest.approx(score[1:], abs=1e-4)


def test_an_answer_longer_than_the_decoder_is_refused(small_t5: Seq2SeqModel) -> None:
    with pytest.raises(DataError, match="text='word word.*at most 512"):
        Requests(small_t5).loglikelihood([("What?", "word " * 600)])


def test_likelihoods_are_those_of_lm_evals_own_model(shared_tiny: CausalModel) -> None:
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    theirs = HFLM(pretrained=shared_tiny.module, tokenizer=shared_tiny.tokenizer, max_length=shared_tiny.encoder.longest - 1, batch_size=4)
    pairs = [(PROMPT.format(a, b), f" {a + b + more}") for a, b in SUMS for more in (0, 1)]
    pairs += [("", "The mayor of Penwick"), ("The mayor ", "of Penwick is"), ("一年有", "几个季节"), ("long " * 700, "end of it")]
    started = [(before and "<|endoftext|>" + before, after) for before, after in pairs]
    wanted = theirs.loglikelihood([Instance("loglikelihood", {}, pair, 0) for pair in started], disable_tqdm=True)
    found = Requests(shared_tiny).loglikelihood(pairs)
    assert [nats for nats, _ in found[:-1]] == pytest.approx([nats for nats, _ in wanted[:-1]], abs=1e-3)
    assert found[-1][0] == pytest.approx(wanted[-1][0], rel=0.05)  # cut to the model's reach, theirs without the start token
    assert [greedy for _, greedy in found] == [greedy for _, greedy in wanted]
    assert Requests(shared_tiny).loglikelihood(started)[:-1] == found[:-1]
    texts = ["The mayor of Penwick opened the bridge.", "The river rises in the hills. " * 80]
    rolled = theirs.loglikelihood_rolling([Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts], disable_tqdm=True)
    assert Requests(shared_tiny).rolling(texts) == pytest.approx(rolled, rel=1e-4)


class Writer:
    """A LanguageModel that writes the same text whatever it is asked."""

    def __init__(self, like: CausalModel, text: str) -> None:
        self.encoder, self.text, self.asked = like.encoder, text, list[tuple[int, int, bool]]()

    def generate(self, prompts, limit, lines=False):  # type: ignore[no-untyped-def]
        self.asked.append((len(prompts), limit, lines))
        return [self.text if lines else self.text.split("\n")[0]] * len(prompts)


def test_an_answer_ends_before_the_first_stop(shared_tiny: CausalModel) -> None:
    model = Writer(shared_tiny, " one. two\nthree; four")
    asked = [("q", {"until": until, "max_gen_toks": limit}) for until, limit in ([["three", "two"], 9], [["\n", ";"], 9], [[], 9], [["absent"], 7], [[""], 9])]
    said = Requests(model).generate(asked)  # type: ignore[arg-type]
    assert said == [" one. ", " one. two", " one. two\nthree; four", " one. two\nthree; four", " one. two\nthree; four"]
    assert sorted(model.asked) == [(1, 7, True), (1, 9, False), (3, 9, True)]


def test_sampling_is_refused(shared_tiny: CausalModel, tasks: Path) -> None:
    with pytest.raises(SettingError, match="do_sample=True"):
        harness(shared_tiny, ["sums_drawn"], tasks)


def test_an_unknown_task_is_refused_with_what_is_close(shared_tiny: CausalModel, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lm_eval.tasks import TaskManager

    class OwnAlone(TaskManager):  # the fourteen thousand tasks of lm-eval take long to list
        def __init__(self, include_path: str | None = None, include_defaults: bool = True) -> None:
            super().__init__(include_path=include_path, include_defaults=False)

    monkeypatch.setattr("lm_eval.tasks.TaskManager", OwnAlone)
    with pytest.raises(SettingError, match=r"no such task \(task='sums_choise'.*Did you mean 'sums_choice'"):
        harness(shared_tiny, ["sums_choise"], tasks)


def test_missing_data_is_told(shared_tiny: CausalModel, tasks: Path) -> None:
    with pytest.raises(DataError, match=r"tasks=\['sums_lost'\].*nowhere.json"):
        harness(shared_tiny, ["sums_lost"], tasks)


def test_a_wrong_limit_or_folder_is_refused(shared_tiny: CausalModel, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="limit must be at least 1, got 0"):
        harness(shared_tiny, ["x"], limit=0)
    with pytest.raises(SettingError, match="include_path must be a folder.*nowhere"):
        harness(shared_tiny, ["x"], tmp_path / "nowhere")


def test_without_lm_eval_the_extra_is_named(shared_tiny: CausalModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(harness_file, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r'pip install "everlearn\[eval\]"'):
        harness(shared_tiny, ["x"])
