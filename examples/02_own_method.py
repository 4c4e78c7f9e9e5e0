"""A method of one's own in ten lines, held to the same checks as ours, then compared with plain training by name."""

from everlearn import Almanac, Method, Settings, Step, almanac_stream, compare, register
from everlearn.checks import check_method


class Gentle(Method):
    """Learn at full rate in the first half of an experience, then more and more gently."""

    neutral = {"floor": 1.0}
    active = {"floor": 0.1}

    def __init__(self, floor: float = 0.1) -> None:
        self.floor = floor

    def rate(self, step: Step) -> float:
        return max(self.floor, min(1.0, 2 * (1 - step.number / step.total)))


def main() -> None:
    print("checks passed:", ", ".join(check_method(Gentle)))
    register("gentle", Gentle)
    stream = almanac_stream(Almanac(), periods=1, skills=30)
    results = compare(stream, methods="plain,gentle(floor=0.05)", settings=Settings(rate=3e-4, passes=4, batch=32))
    print(results.markdown())


if __name__ == "__main__":
    main()
