"""Sums with one right answer, made from a seed: for the arithmetic probe."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from random import Random

Sum = tuple[str, int]
NAMES = ("Anna", "Ben", "Clara", "David", "Eva", "Felix", "Greta", "Hugo")
THINGS = ("apples", "books", "stamps", "shells", "coins", "cards", "pencils", "tickets")


def _plus(most: int) -> Callable[[Random], Sum]:
    def made(random: Random) -> Sum:
        a, b = random.randint(most // 10, most), random.randint(most // 10, most)
        return f"What is {a} plus {b}?", a + b

    return made


def _minus(most: int) -> Callable[[Random], Sum]:
    def made(random: Random) -> Sum:
        a, b = sorted((random.randint(most // 10, most), random.randint(most // 10, most)))
        return f"What is {b} minus {a}?", b - a

    return made


def _times(most: int) -> Callable[[Random], Sum]:
    def made(random: Random) -> Sum:
        a, b = random.randint(2, most), random.randint(2, 9)
        return f"What is {a} times {b}?", a * b

    return made


def _gives_away(random: Random) -> Sum:
    name, thing, had = random.choice(NAMES), random.choice(THINGS), random.randint(20, 90)
    gone, found = random.randint(2, 18), random.randint(2, 30)
    return f"{name} has {had} {thing}, gives away {gone} and finds {found} more. How many {thing} does {name} have now?", had - gone + found


def _boxes(random: Random) -> Sum:
    thing, boxes, each, left = random.choice(THINGS), random.randint(3, 9), random.randint(4, 12), random.randint(1, 9)
    return f"There are {boxes} boxes with {each} {thing} each, and {left} more on the table. How many {thing} are there?", boxes * each + left


def _shares(random: Random) -> Sum:
    friends, each, thing = random.randint(2, 9), random.randint(3, 12), random.choice(THINGS)
    return f"{friends} friends share {friends * each} {thing} equally. How many {thing} does each of them get?", each


def _plus_zh(random: Random) -> Sum:
    a, b = random.randint(10, 99), random.randint(10, 99)
    return f"{a}加{b}等于多少？", a + b


def _minus_zh(random: Random) -> Sum:
    a, b = sorted((random.randint(10, 99), random.randint(10, 99)))
    return f"{b}减{a}等于多少？", b - a


def _shop_zh(random: Random) -> Sum:
    count, price, paid = random.randint(2, 9), random.randint(2, 10), 100
    return f"一支笔{price}元，小明买了{count}支，付了{paid}元，应该找回多少元？", paid - count * price


KINDS: Mapping[str, Callable[[Random], Sum]] = {
    "small sums": _plus(20),
    "sums": _plus(99),
    "large sums": _plus(999),
    "small differences": _minus(20),
    "differences": _minus(99),
    "small products": _times(9),
    "products": _times(40),
    "gives away": _gives_away,
    "boxes": _boxes,
    "shares": _shares,
    "in Chinese": lambda random: (_plus_zh if random.random() < 0.5 else _minus_zh)(random),
    "a shop, in Chinese": _shop_zh,
}


def sums(seed: int = 0, count: int = 60) -> list[Sum]:
    """Questions with their answers, no question twice: addition, subtraction, multiplication and word problems in turn, English and Chinese.

    >>> sums(count=3)[0][0].startswith("What is ")
    True
    """
    random, makers = Random(f"arithmetic/{seed}"), list(KINDS.values())
    found: dict[str, int] = {}
    while len(found) < count:
        question, answer = makers[len(found) % len(makers)](random)
        found.setdefault(question, answer)
    return list(found.items())
