"""One run, worked by hand, in every framework's own files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

# Three tasks, taught one after the other; per cent. Before training, then after each.
BEFORE = [5.0, 10.0, 15.0]
ROWS = [[80.0, 10.0, 20.0], [90.0, 80.0, 30.0], [60.0, 50.0, 85.0]]
SEEN = [row[: i + 1] for i, row in enumerate(ROWS)]
Write = Callable[[str], Path]


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def shares(row: list[float]) -> list[float]:
    return [cell / 100 for cell in row]


def mammoth(folder: Path) -> Path:
    run: dict[str, object] = {"dataset": "seq-cifar10", "model": "er", "lr": 0.1, "seed": 7}
    run |= {f"accmean_task{i}": sum(row) / len(row) for i, row in enumerate(SEEN, 1)}
    run |= {f"accuracy_{j}_task{i}": cell for i, row in enumerate(SEEN, 1) for j, cell in enumerate(row, 1)}
    text = str(run | {"forward_transfer": 0.25, "forgetting": 30.0})
    text = text.removesuffix("}") + ", 'backward_transfer': np.float64(-25.0), 'device': device(type='cuda'), 'other': nan}\n"
    return put(folder / "er" / "logs.pyd", text)


def eval_results(folder: Path) -> Path:
    lines = ["eval_exp,training_exp,eval_accuracy,eval_loss,forgetting"]
    for i, row in enumerate([BEFORE, *ROWS]):
        for j, cell in enumerate(row):
            fall = ROWS[j][j] - cell if 0 < j + 1 < i else 0
            lines.append(f"{j},{i - 1 if i else None},{cell / 100:.4f},1.2345,{fall / 100:.4f}")
    return put(folder / "naive" / "eval_results.csv", "\n".join(lines) + "\n").parent


def name(part: str, j: int | None = None) -> str:
    return f"{part}/eval_phase/test_stream" + ("" if j is None else f"/Task000/Exp{j:03}")


def returned(folder: Path) -> Path:
    """A list of what `eval` gives each time."""
    steps = [{name("Top1_Acc_Exp", j): cell / 100 for j, cell in enumerate(row)} | {name("Loss_Exp", 0): 2.5} for row in [BEFORE, *ROWS]]
    steps[-1] |= {name("StreamForgetting"): 0.25, name("StreamBWT"): -0.25, name("StreamForwardTransfer"): 0.075}
    steps[-1] |= {name("Top1_Acc_Stream") + "/Task000": 0.61, "Top1_Acc_Exp/eval_phase/train_stream/Task000/Exp000": 1.0}
    return put(folder / "results.json", json.dumps(steps))


def all_metrics(folder: Path) -> Path:
    """What get_all_metrics() gives."""
    columns = zip(*[BEFORE, *ROWS], strict=True)
    whole = {name("Top1_Acc_Exp", j): [[0, 40, 80, 120], shares(list(column))] for j, column in enumerate(columns)}
    return put(folder / "metrics.json", json.dumps(whole | {name("StreamForgetting"): [[0, 40, 80, 120], [0.0, 0.0, -0.1, 0.25]]}))


def libcontinual(folder: Path) -> Path:
    table = np.array([[*row, *[0.0] * (3 - len(row))] for row in SEEN])
    last = "\n".join(
        [
            "{'backbone': {'kwargs': {}, 'name': 'resnet18'}, 'classifier': {'kwargs': {'feat_dim': 512}, 'name': 'LWF'}, 'seed': 1993,",
            "================Result of Task 1 Testing!================",
            " * Forgetting: 0.000 (Best: 0.000)",
            "================Overall Result of 3 Tasks!================",
            " * [Batch] Last Average Acc: 66.20 (Best: 66.30)",
            " * [Task] Last Average Acc: 65.00 (Best: 65.10)",
            " * Forgetting: 10.000 (Best: 10.000)",
            " * Backward Transfer: -6.67 (Best: -6.67)",
            " * Overall Frgt : 10.000",
            f" * Average Acc Table : \n{table}",
            "================Model Performance Analysis================\n",
        ]
    )
    return put(folder / "cifar100.log", last)


def renate(folder: Path) -> Path:
    head = ["Task ID,accuracy,accuracy,accuracy,loss,loss,loss", ",Task 1,Task 2,Task 3,Task 1,Task 2,Task 3"]
    rows = [",".join(map(str, [i, *shares(row), 1.5, 1.25, 1.0])) for i, row in enumerate(ROWS, 1)]
    for update in range(3):
        put(folder / "logs" / f"metrics_summary_update_{update}_2023-05-03.csv", "\n".join([*head, *rows[: update + 1]]) + "\n")
    stated = "Task ID,Average Accuracy,Forgetting,Forward Transfer,Backward Transfer\n2,0.85,-0.1,0.0,0.1\n3,0.65,0.3,0.075,-0.25\n"
    return put(folder / "logs" / "metrics_summary.csv", stated).parent


def predicted(folder: Path, kind: str = "exact_match", names: tuple[str, ...] = ("dbpedia", "amazon", "yahoo"), ordered: bool = False) -> Path:
    for i, row in enumerate(SEEN):
        scores = {f"predict_{kind}_for_{names[j]}": cell for j, cell in enumerate(row)} | {"predict_exact_match": 1.0, "predict_rouge1_for_TC": 3.0}
        put(folder / "outputs" / f"{i + 1}-{names[i]}" / "all_results.json", json.dumps(scores))
    if ordered:
        put(folder / "outputs" / "task_order.txt", ",".join(names))
    return folder


def sapt(folder: Path) -> Path:
    return predicted(folder, "eval_rougeL", ("task1572_samsum_summary", "task363_sst2", "task1290_xsum"), ordered=True)


def sapt_text(folder: Path) -> Path:
    def drawn(rows: list[list[object]]) -> str:
        return "╒═══╕\n" + "\n├───┤\n".join("│ " + " │ ".join(str(cell) for cell in row) + " │" for row in rows) + "\n╘═══╛\n"

    stated = {"Cl": 65.0, "Fgt": 30.0, "Fwt": 245 / 3 - 50.94, "Bwt": -50 / 3}
    matrix = [["", 0, 1, 2], *([i, *row, *[0] * (3 - len(row))] for i, row in enumerate(SEEN))]
    return put(folder / "results" / "sapt.txt", f"{stated}\n" + drawn([[0, 1, 2], [81.0, 82.0, 83.0]]) + drawn(matrix))


def trace(folder: Path) -> Path:
    """One task of each kind of score: accuracy in shares, similarity and SARI of 100."""
    scores = [lambda x: {"accuracy": x / 100}, lambda x: {"similarity": x}, lambda x: {"bleu-1": 0.1, "rouge-L": 0.2, "sari": [{"sari": x}]}]
    for i, row in enumerate(SEEN):
        for j, cell in enumerate(row):
            found = {"eval": scores[j](cell), "prompts": ["p"], "results": ["r"], "labels": ["l"]}
            put(folder / "predictions" / f"results-{i}-{j}-{('C-STANCE', 'Py150', '20Minuten')[j]}.json", json.dumps(found))
    return folder / "predictions"


WRITERS: dict[str, Callable[[Path], Path]] = {
    "mammoth": mammoth,
    "eval_results": eval_results,
    "returned": returned,
    "all_metrics": all_metrics,
    "libcontinual": libcontinual,
    "renate": renate,
    "o-lora": predicted,
    "sapt": sapt,
    "sapt_text": sapt_text,
    "trace": trace,
}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the run in a framework's form, by the form's name; where it lies."""
    return lambda form: WRITERS[form](tmp_path)


@pytest.fixture
def golden() -> dict[str, float | None]:
    """Of the rows above, by hand: without a row before training there is no forward transfer."""
    return {
        "average_accuracy": (60 + 50 + 85) / 300,
        "forgetting": ((90 - 60) + (80 - 50)) / 200,
        "forgetting_from_learned": ((80 - 60) + (80 - 50)) / 200,
        "backward_transfer": ((60 - 80) + (50 - 80) + 0) / 300,
        "forward_transfer": None,
        "learning_accuracy": (80 + 80 + 85) / 300,
    }
