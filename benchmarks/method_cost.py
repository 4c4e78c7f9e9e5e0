"""What methods cost over plain training, a step and an experience, at equal learned tokens; and what a Fisher costs.

    python benchmarks/method_cost.py [--pairs 15] [--rows 96] [--size 1M] [--out runs/bench/method_cost.json]

Rows are the almanac's questions. Per step: l2, l2_sp, ewc, mas and si beside plain, each with a past to hold on to; ewc also after 20 past experiences
beside after one. Per experience of 3 passes: distill with its teacher's pass, replay at a share of 0.5 (of which it may cost that much), each beside plain.
o_lora with 20 past experiences and subspace beside plain LoRA of the same rank. Fisher: many rows at a time beside loops of one row at a time, as one writes
them by hand and with the output head on learned positions alone as ours has it, the values compared first. A figure is a ratio of process CPU times, the
median over interleaved pairs.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from random import Random

import torch
from llamas import llama, texts_of
from timing import Began, Clock, Figure, Run, figure, interleaved, now, parser, told

from everlearn import (
    EWC,
    L2,
    L2SP,
    MAS,
    SI,
    Almanac,
    CausalModel,
    Distill,
    Example,
    Experience,
    Gradient,
    Lora,
    Method,
    OLoRA,
    Replay,
    Settings,
    Subspace,
    almanac_stream,
)
from everlearn.methods.fisher import fisher
from everlearn.methods.per_example import gradient_alone, log_likelihood
from everlearn.models.adapters import with_lora

STEP = Settings(rate=1e-4, passes=1, batch=32)
WHOLE = Settings(rate=1e-4, passes=3, batch=32)
RANK, PAST, SHARE = 8, 20, 0.5
Make = Callable[[], CausalModel]


class Noted:
    """A learner that has a past, ready to learn the same experience again and again from the same weights."""

    def __init__(self, make: Make, methods: Sequence[Method], settings: Settings, past: Sequence[Experience]) -> None:
        self.model, self.settings = make(), settings
        self.clock: Clock = []
        self.methods = [Began(self.clock), *methods]
        learner = Gradient(self.methods, settings)
        learner.prepare(self.model)
        for experience in past:
            learner.learn(self.model, experience)
        self.start = self.model.state()
        for method in methods:  # the past stays as it is, and what comes after the last step is not a step's
            method.end = lambda model, step, random: None  # type: ignore[method-assign]

    def by_step(self, experience: Experience) -> Run:
        """Notes the moment before the first step and after each."""

        def learn(clock: Clock) -> None:
            self.model.load(self.start)
            self.clock.clear()
            Gradient(self.methods, self.settings).learn(self.model, experience, lambda step, state: self.clock.append(now()))
            clock += self.clock

        return learn

    def whole(self, experience: Experience) -> Run:
        """Notes the moments before and after all of it, mixing and teachers too."""

        def learn(clock: Clock) -> None:
            self.model.load(self.start)
            clock.append(now())
            Gradient(self.methods, self.settings).learn(self.model, experience)
            clock.append(now())

        return learn


def penalties(make: Make, given: Experience, past: Experience, pairs: int) -> list[Figure]:
    """A step of each method that holds weights, beside plain."""
    made = {"plain": [], "l2": [L2(0.01)], "l2_sp": [L2SP(0.01)], "ewc": [EWC(1.0, samples=16)], "mas": [MAS(1.0, samples=16)], "si": [SI(1.0)]}
    rivals = {name: Noted(make, methods, STEP, [past]).by_step(given) for name, methods in made.items()}
    rivals["ewc after 20"] = Noted(make, [EWC(1.0, samples=4)], STEP, [Experience(str(at), past.train[at : at + 4]) for at in range(PAST)]).by_step(given)
    times = interleaved(rivals, pairs, Random(0))
    found = [figure(f"{name} / plain", times[name], times["plain"], 1.08 if name == "si" else 1.03, by_step=True) for name in rivals if name in list(made)[1:]]
    return [*found, figure("ewc after 20 experiences / 1", times["ewc after 20"], times["ewc"], 1.03, by_step=True)]


def experiences(make: Make, given: Experience, past: Experience, pairs: int) -> list[Figure]:
    """A whole experience with a teacher, or with rehearsal, beside plain."""
    made: dict[str, list[Method]] = {"plain": [], "distill": [Distill(1.0)], "replay": [Replay(SHARE)]}
    times = interleaved({name: Noted(make, methods, WHOLE, [past]).whole(given) for name, methods in made.items()}, pairs, Random(1))
    most = {"distill": 1.10 + 1 / (3 * WHOLE.passes), "replay": 1 + SHARE + 0.03}
    return [figure(f"{name} / plain, 3 passes", times[name], times["plain"], round(most[name], 3)) for name in most]


def adapters(make: Make, given: Experience, past: Experience, pairs: int) -> list[Figure]:
    """A step of methods that learn in part of the weights, beside plain LoRA."""

    def with_adapters() -> CausalModel:
        model = make()
        model.module = with_lora(model.module, Lora(RANK))
        return model

    many = [Experience(str(at), past.train[at : at + 4]) for at in range(PAST + 1)]
    rivals = {
        "lora": Noted(with_adapters, [], STEP, []).by_step(given),
        "o_lora": _with_past(Noted(make, [OLoRA(RANK)], STEP, many), PAST).by_step(given),
        "subspace": Noted(make, [Subspace(0.5)], STEP, []).by_step(given),
    }
    times = interleaved(rivals, pairs, Random(2))
    return [
        figure(f"o_lora at {PAST} past / lora", times["o_lora"], times["lora"], 1.10, by_step=True),
        figure("subspace / lora", times["subspace"], times["lora"], 1.40, by_step=True),
    ]


def _with_past(noted: Noted, past: int) -> Noted:
    """As it is at the beginning of the experience after `past`: no further one is folded."""
    method = noted.methods[1]
    assert isinstance(method, OLoRA)
    assert len(method.folded.past) == past
    method.learned = past
    return noted


def fishers(make: Make, given: Experience, pairs: int) -> tuple[list[Figure], float]:
    """The Fisher of all rows, many at a time, beside two loops of one row at a time; and the largest difference of a tensor, as a share of its length."""
    model = make()
    rows = model.encoder.rows(given.train)
    trained = model.trained()

    def alone() -> dict[str, torch.Tensor]:
        total = {name: torch.zeros_like(weight) for name, weight in trained.items()}
        for row in rows:
            for name, gradient in gradient_alone(model, row, log_likelihood).items():
                total[name].addcmul_(gradient, gradient, value=1 / len(rows))
        return total

    def by_hand() -> dict[str, torch.Tensor]:
        total = {name: torch.zeros_like(weight) for name, weight in trained.items()}
        for row in rows:
            targets = torch.full((1, len(row.tokens)), -100)
            targets[0, torch.tensor(row.learned) - 1] = torch.tensor([row.tokens[at] for at in row.learned])
            logits = model.module(input_ids=torch.tensor([row.tokens]), use_cache=False).logits
            torch.nn.functional.cross_entropy(logits[0], targets[0], reduction="sum").backward()
            for name, weight in trained.items():
                total[name] += weight.grad**2 / len(rows)
            model.module.zero_grad()
        return total

    one, others = fisher(model, rows, "empirical", Random(0)), (alone(), by_hand())
    apart = max(float((one[name] - value).norm() / value.norm()) for other in others for name, value in other.items())
    assert apart < 1e-4, f"the Fishers differ by {apart:.1e}"

    def run(what: Callable[[], object]) -> Run:
        def timed(clock: Clock) -> None:
            clock.append(now())
            what()
            clock.append(now())

        return timed

    rivals = {"together": run(lambda: fisher(model, rows, "empirical", Random(0))), "alone": run(alone), "by hand": run(by_hand)}
    times = interleaved(rivals, pairs, Random(3))
    return [
        figure("fisher / one by one by hand", times["together"], times["by hand"], 0.333),
        figure("fisher / one by one, head as ours", times["together"], times["alone"], 0.333),
    ], apart


def main() -> None:
    options = parser(__doc__, 15, "runs/bench/method_cost.json")
    options.add_argument("--rows", type=int, default=96)
    options.add_argument("--size", default="1M")
    given = options.parse_args()
    torch.set_num_threads(given.threads)
    rows: list[Example] = list(almanac_stream(Almanac(), periods=1).base[: 2 * given.rows])
    texts = texts_of(rows)
    first, second = (Experience(str(at), tuple(part)) for at, part in enumerate((rows[: given.rows], rows[given.rows :])))

    def make() -> CausalModel:
        return llama(given.size, texts)

    figures, apart = fishers(make, first, given.pairs)
    for part in (penalties, experiences, adapters):
        figures += part(make, second, first, given.pairs)
    told(
        figures, given.out, rows=given.rows, size=given.size, fishers_differ_by=apart, tokens=statistics.fmean(len(r.tokens) for r in make().encoder.rows(rows))
    )


if __name__ == "__main__":
    main()
