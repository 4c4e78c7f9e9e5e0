"""The gate on cases worked by hand: noise neither passes nor blocks."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from everlearn import SettingError
from everlearn.versions.gate import Decision, Evidence, Paired, Rules, decide

GAIN = {"news": Paired([0.0] * 20, [1.0] * 20)}
RULES = Rules()


def pair(rows: int, lost: int, gained: int = 0) -> Paired:
    """Half of the rows right before; then so many of these wrong, and so many of the others right."""
    before = [1.0] * (rows // 2) + [0.0] * (rows - rows // 2)
    return Paired(before, [0.0] * lost + before[lost : rows - gained] + [1.0] * gained)


def test_a_gain_without_loss_is_accepted_and_says_what_was_looked_at() -> None:
    found = decide(Evidence(new=GAIN, old={"base": pair(100, 0)}), RULES)
    assert found == Decision(
        True,
        (
            "Enough was learned: the 20 new test rows went from 0.0 % to 100.0 %.",
            "No loss beyond what is allowed and surely more than chance: the 100 earlier test rows went from 50.0 % to 50.0 %.",
        ),
    )


def test_a_sure_loss_of_one_task_blocks() -> None:
    found = decide(Evidence(new=GAIN, old={"base": pair(100, 0), "law": pair(100, 10)}), RULES)
    assert not found.accepted
    assert found.reasons == (
        "Task 'law' lost 10.0 points, from 50.0 % to 40.0 % on 100 rows (p = 0.000977), and 2.0 are allowed.",
        "All earlier tasks together lost 5.0 points, from 50.0 % to 45.0 % on 200 rows (p = 0.000977), and 2.0 are allowed.",
    )


def test_a_small_loss_within_what_is_allowed_passes_however_sure() -> None:
    assert decide(Evidence(new=GAIN, old={"base": pair(2000, 40)}), RULES).accepted
    assert not decide(Evidence(new=GAIN, old={"base": pair(2000, 41)}), RULES).accepted


def test_a_loss_that_may_be_chance_does_not_block() -> None:
    assert decide(Evidence(new=GAIN, old={"base": pair(20, 4)}), RULES).accepted  # p = 1/16
    assert not decide(Evidence(new=GAIN, old={"base": pair(20, 5)}), RULES).accepted  # p = 1/32
    assert decide(Evidence(new=GAIN, old={"base": pair(40, 10, gained=6)}), RULES).accepted


def test_a_gain_that_may_be_chance_does_not_pass() -> None:
    found = decide(Evidence(new={"news": Paired([0.0] * 10, [1.0] * 4 + [0.0] * 6)}), RULES)
    assert found.reasons == ("What was learned may be chance: the 10 new test rows went from 0.0 % to 40.0 % (p = 0.062, and at most 0.05 counts as sure).",)
    assert decide(Evidence(new={"news": Paired([0.0] * 10, [1.0] * 5 + [0.0] * 5)}), RULES).accepted


def test_of_many_tasks_that_move_by_chance_hardly_one_blocks() -> None:
    """Fifty tasks of forty rows of which a tenth flips either way: without a correction about every second update would be refused."""
    random, refused = Random(0), 0
    for _ in range(40):
        old = {}
        for task in range(50):
            before = [float(random.random() < 0.5) for _ in range(40)]
            old[str(task)] = Paired(before, [1 - value if random.random() < 0.1 else value for value in before])
        refused += not decide(Evidence(new=GAIN, old=old), RULES).accepted
    assert refused <= 2


def test_losses_too_thin_for_any_task_show_in_all_together() -> None:
    found = decide(Evidence(new=GAIN, old={str(task): pair(20, 1) for task in range(30)}), RULES)
    assert found.reasons == ("All earlier tasks together lost 5.0 points, from 50.0 % to 45.0 % on 600 rows (p = 9.31e-10), and 2.0 are allowed.",)


def test_nothing_learned_is_refused_and_so_is_nothing_tested() -> None:
    assert decide(Evidence(new={"news": Paired([0.5] * 9, [0.5] * 9)}), RULES).reasons[0].startswith("Nothing was learned: the 9 new test rows")
    assert decide(Evidence(), RULES).reasons == ("Nothing shows what was learned: there are no new test rows.",)
    assert decide(Evidence(), replace(RULES, least_gain=None)).accepted


@pytest.mark.parametrize(
    ("seen", "rules", "said"),
    [
        (Evidence(new=GAIN, kl=0.31), Rules(most_kl=0.3), "The model moved 0.3100 nats a token on anchor text, and 0.3 are allowed."),
        (Evidence(new=GAIN, perplexity=1.6), Rules(most_perplexity=1.5), "Perplexity on anchor text is 1.600 times the start's, and 1.5 times is allowed."),
        (Evidence(new=GAIN, stale=0.6), Rules(), "60.0 % of the changed answers are still given as they were before, and 50 % are allowed."),
        (Evidence(new=GAIN, probes={"refusals": pair(60, 20)}), Rules(), "The probe 'refusals' lost 33.3 points"),
        (Evidence(broken="the loss is nan."), Rules(), "Learning broke the model: the loss is nan."),
        (Evidence(new=GAIN, old={"base": Paired([1.0], [float("nan")])}), Rules(), "Task 'base' has scores that are no numbers."),
        (Evidence(new={"news": pair(40, 8, gained=20)}, old={}), Rules(), None),
        (Evidence(new={**GAIN, "more": pair(40, 20)}), Rules(least_gain=0), "New task 'more' lost 50.0 points"),
    ],
)
def test_every_rule_blocks_and_says_why(seen: Evidence, rules: Rules, said: str | None) -> None:
    found = decide(seen, rules)
    assert found.accepted == (said is None)
    assert said is None or any(reason.startswith(said) for reason in found.reasons)


def test_a_rule_that_is_off_blocks_nothing() -> None:
    off = Rules(None, None, 0.95, None, None, None, None)
    seen = Evidence(new={"news": pair(40, 20)}, old={"base": pair(100, 50)}, probes={"refusals": pair(60, 30)}, stale=1.0, kl=9.0, perplexity=9.0)
    assert decide(seen, off).accepted


def test_rules_outside_their_range_are_refused_all_at_once() -> None:
    with pytest.raises(SettingError, match=r"gate: least_gain must be at least 0, got -1; most_perplexity must be at least 1, got 0.5; sure must be .* got 1"):
        Rules(least_gain=-1, most_perplexity=0.5, sure=1)
