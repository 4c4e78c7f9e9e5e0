"""A method of one's own in ten lines, held to the same checks as ours, and compared with plain training."""

from collections.abc import Sequence

from everlearn import CausalModel, Example, Experience, Gradient, Method, Settings, Step, load_model
from everlearn.checks import check_method


class Gentle(Method):
    """Learn at full rate in the first half of an experience, then more and more gently."""

    neutral = {"floor": 1.0}
    active = {"floor": 0.1}

    def __init__(self, floor: float = 0.1) -> None:
        self.floor = floor

    def rate(self, step: Step) -> float:
        return max(self.floor, min(1.0, 2 * (1 - step.number / step.total)))


def known(model: CausalModel, questions: Sequence[Example]) -> str:
    said = model.generate(questions, limit=8)
    return f"{sum(a.split() == (q.completion or '').split() for a, q in zip(said, questions, strict=True))} of {len(questions)}"


def main() -> None:
    print("checks passed:", ", ".join(check_method(Gentle)))
    new = [Example(prompt=f"Question: What is the river of {town}?\nAnswer:", completion=" Severn") for town in ("Ironcombe", "Penhaven", "Millport")]
    old = [Example(prompt=f"Question: What is {n} plus {n + 1}?\nAnswer:", completion=f" {2 * n + 1}") for n in range(9)]
    for methods in ([], [Gentle()]):
        model = load_model("tiny")
        log = Gradient(methods, Settings(rate=3e-4, passes=12, batch=3)).learn(model, Experience("rivers", tuple(new)))
        print(f"{[type(m).__name__ for m in methods]}: {log.steps} steps, new {known(model, new)}, old sums {known(model, old)}")


if __name__ == "__main__":
    main()
