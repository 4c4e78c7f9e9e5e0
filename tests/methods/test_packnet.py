"""PackNet: what is kept, what is pruned, what stays for good."""

from __future__ import annotations

import pytest
import torch

from everlearn import CausalModel, Example, Experience, Gradient, Method, PackNet, SettingError, Settings, Step

ROWS = tuple(Example(prompt=f"Question: What is {n} plus 2?\nAnswer:", completion=f" {n + 2}") for n in range(12))
SETTINGS = Settings(rate=1e-3, passes=2, batch=6)  # four steps, the last of them retrains
NAME, NORM = "model.layers.0.self_attn.q_proj.weight", "model.norm.weight"


class Watch(Method):
    """Each step's weights of one tensor."""

    stage = "mask"

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def stepped(self, model: CausalModel, step: Step) -> None:
        self.seen.append(model.state()[NAME])


@pytest.mark.parametrize("of", ["change", "weight"])
def test_an_experience_keeps_its_share_and_returns_the_rest(tiny: CausalModel, of: str) -> None:
    method, watch, start = PackNet(keep=0.25, base=0.5, of=of), Watch(), tiny.state()[NAME]  # type: ignore[arg-type]
    Gradient([method, watch], SETTINGS).learn(tiny, Experience("e", ROWS))
    here, total = tiny.state()[NAME], start.numel()
    base = start.abs() >= start.abs().flatten().topk(total // 2).values[-1]
    assert torch.equal(here[base], start[base]), "the starting model's own half moved"
    pruned = ~base & (here == (start if of == "change" else 0))
    assert int(pruned.sum()) == pytest.approx(0.75 * total / 2, abs=2)
    assert int(method.free[NAME].sum()) == int(pruned.sum())
    third, last = watch.seen[2], watch.seen[3]
    assert torch.equal(third[pruned], here[pruned]), "nothing was pruned before the last step"
    assert float((third != last)[~base & ~pruned].float().mean()) > 0.9, "what stayed was not retrained"
    before = watch.seen[1]
    kept = ((before - start) if of == "change" else before).abs()
    assert float(kept[~base & ~pruned].mean()) > 2 * float(kept[pruned].mean()), "not the largest were kept"


def test_what_an_experience_kept_is_never_touched_again(tiny: CausalModel) -> None:
    method = PackNet(keep=0.5, base=0.0)
    learner = Gradient([method], SETTINGS)
    frozen: dict[str, torch.Tensor] = {}
    free_before: dict[str, torch.Tensor] = {}
    for number in range(3):
        learner.learn(tiny, Experience(f"e{number}", tuple(Example(prompt=f"{number} {e.prompt}", completion=e.completion) for e in ROWS)))
        here = tiny.state()
        for name, value in frozen.items():
            taken = ~free_before[name]
            assert torch.equal(here[name][taken], value[taken]), f"experience {number} moved {name}"
        frozen, free_before = here, {name: free.clone() for name, free in method.free.items()}
        share = float(method.free[NAME].float().mean())
        assert share == pytest.approx(0.5 ** (number + 1), abs=0.01)
        assert not method.free[NORM].any(), "norms belong to the first past"


def test_with_a_base_the_norms_never_learn(tiny: CausalModel) -> None:
    start = tiny.state()[NORM]
    Gradient([PackNet(base=0.1)], SETTINGS).learn(tiny, Experience("e", ROWS))
    assert torch.equal(tiny.state()[NORM], start)


def test_settings_outside_their_range_are_refused() -> None:
    with pytest.raises(SettingError, match="packnet keep must be between 0 and 0.999, got 1"):
        PackNet(keep=1)
    with pytest.raises(SettingError, match="packnet base must be between 0 and 0.999, got -1"):
        PackNet(base=-1)
    with pytest.raises(SettingError, match="packnet retrain must be between 0 and 0.999, got 2"):
        PackNet(retrain=2)
    with pytest.raises(SettingError, match="packnet of must be 'change' or 'weight', got 'size'"):
        PackNet(of="size")  # type: ignore[arg-type]
