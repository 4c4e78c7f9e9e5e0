"""Each Fisher against its definition, worked out row by row."""

from __future__ import annotations

from random import Random

import pytest
import torch
from torch import Tensor

from everlearn import EWC, CausalModel, DataError, Example, Row, SettingError, Step
from everlearn.methods.fisher import fisher

EXAMPLES = [Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(20)]
CHOICES = [Example(prompt=e.prompt, completion=e.completion, choices=(e.completion or "", " 1", " many more")) for e in EXAMPLES[:4]]


def gradient(model: CausalModel, value: Tensor) -> dict[str, Tensor]:
    return dict(zip(model.trained(), torch.autograd.grad(value, list(model.trained().values()), retain_graph=True), strict=True))


def log_likelihood(model: CausalModel, row: Row) -> Tensor:
    batch = model.batch([row])
    return model.logits(batch).logits.log_softmax(1).gather(1, batch.targets[:, None]).sum()


def assert_close(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.allclose(found[name], value, rtol=1e-3, atol=1e-4 * float(value.max())), name


def test_the_empirical_fisher_is_the_mean_squared_gradient_of_single_rows(tiny: CausalModel) -> None:
    rows = tiny.encoder.rows(EXAMPLES[:5])
    tiny.module.eval()
    each = [gradient(tiny, log_likelihood(tiny, row)) for row in rows]
    assert_close(fisher(tiny, rows, "empirical", Random(0)), {name: torch.stack([g[name] ** 2 for g in each]).mean(0) for name in each[0]})


def test_the_exact_fisher_is_the_expectation_over_the_choices(tiny: CausalModel) -> None:
    """By autograd alone: log p of each choice among the choices, its gradient squared, weighted by p."""
    rows, wanted = tiny.encoder.rows(CHOICES), {name: torch.zeros_like(weight) for name, weight in tiny.trained().items()}
    tiny.module.eval()
    for example in CHOICES:
        answers = tiny.encoder.rows([Example(prompt=example.prompt, completion=choice) for choice in example.choices])
        logs = torch.stack([log_likelihood(tiny, row) for row in answers]).log_softmax(0)
        for log in logs:
            for name, value in gradient(tiny, log).items():
                wanted[name] += log.detach().exp() * value**2 / len(CHOICES)
    assert_close(fisher(tiny, rows, "exact", Random(0)), wanted)


def test_the_sampled_fisher_does_not_ask_the_labels(tiny: CausalModel) -> None:
    one, other = (tiny.encoder.rows([Example(prompt=EXAMPLES[0].prompt, completion=text)])[0] for text in (" what", " one"))
    first, again = (Row(row.example, row.tokens[: row.learned[0] + 1], row.learned[:1]) for row in (one, other))
    assert first.tokens != again.tokens
    assert_close(fisher(tiny, [first, first], "sampled", Random(1)), fisher(tiny, [again, again], "sampled", Random(1)))


def test_the_sampled_fisher_comes_near_the_expectation_over_the_vocabulary(tiny: CausalModel) -> None:
    """By hand: logits are E (w * h), so for the last norm's weight w the Fisher of one token is h^2 * (the variance of E's rows under p)."""
    name, row = "model.norm.weight", tiny.encoder.rows(EXAMPLES[:1])[0]
    row = Row(row.example, row.tokens[: row.learned[0] + 1], row.learned[:1])
    with torch.no_grad():
        tiny.trained()[name].mul_(0.2)  # less sure, so that many tokens are drawn
        inputs = torch.tensor([row.tokens[:-1]])
        states = tiny.module.eval()(inputs, output_hidden_states=True).hidden_states[-1][0, -1]
        table, chance = tiny.trained()["model.embed_tokens.weight"], tiny.logits(tiny.batch([row])).logits.softmax(1)[0]
        wanted = (states / tiny.trained()[name]) ** 2 * (chance @ table**2 - (chance @ table) ** 2)
    found = fisher(tiny, [row] * 400, "sampled", Random(0))[name]
    assert float((found - wanted).norm() / wanted.norm()) < 0.2
    assert float((fisher(tiny, [row] * 2, "empirical", Random(0))[name] - wanted).norm() / wanted.norm()) > 0.3


def test_the_batched_fisher_squares_the_mean_of_sixteen_rows(tiny: CausalModel) -> None:
    rows = tiny.encoder.rows(EXAMPLES)
    tiny.module.eval()
    means = [gradient(tiny, torch.stack([log_likelihood(tiny, row) for row in part]).mean()) for part in (rows[:16], rows[16:])]
    found = fisher(tiny, rows, "batched", Random(0))
    assert_close(found, {name: (means[0][name] ** 2 + means[1][name] ** 2) / 2 for name in found})
    whole = fisher(tiny, rows, "empirical", Random(0))
    assert sum(float(value.sum()) for value in found.values()) < 0.5 * sum(float(value.sum()) for value in whole.values())


def test_ewc_takes_the_fisher_it_is_told(tiny: CausalModel) -> None:
    seen = {}
    with torch.no_grad():
        tiny.trained()["model.norm.weight"].mul_(0.2)  # less sure of the labels
    step = Step(1, 1, 0.1, tiny.encoder.rows(CHOICES), lambda rows: {})
    for kind in ("empirical", "sampled", "batched", "exact"):
        method = EWC(strength=1.0, normalise=False, fisher=kind)
        method.end(tiny, step, Random(0))
        seen[kind] = method.fisher["model.norm.weight"]
    values = list(seen.values())
    assert all(float(value.max()) > 0 for value in values)
    assert not any(torch.equal(a, b) for i, a in enumerate(values) for b in values[:i])


def test_the_exact_fisher_needs_choices(tiny: CausalModel) -> None:
    with pytest.raises(DataError, match=r"at least two choices \(id='.*', choices=\(\)\)"):
        fisher(tiny, tiny.encoder.rows(EXAMPLES[:2]), "exact", Random(0))


def test_an_unknown_fisher_is_refused() -> None:
    with pytest.raises(SettingError, match="ewc fisher must be one of empirical, sampled, exact, batched, got 'true'"):
        EWC(fisher="true")
