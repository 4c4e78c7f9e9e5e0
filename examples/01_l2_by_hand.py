"""L2 regularisation in plain PyTorch, with everlearn's L2 adding the penalty's gradient.

The example this project began with builds its penalty once, outside the loop, so the second `backward` finds its graph gone. Here the
penalty joins each step, as L(theta) = L0(theta) + strength * ||theta||^2 says. It is checked against autograd, and seen to work: the
stronger it is, the smaller the weights.
"""

import torch
from torch import nn

from everlearn import L2


def train(strength: float, steps: int = 200) -> nn.Linear:
    """A linear model fitted to y = 3 x1 - 2 x2 + noise."""
    torch.manual_seed(0)
    x = torch.randn(256, 10)
    y = 3 * x[:, :1] - 2 * x[:, 1:2] + 0.1 * torch.randn(256, 1)
    model, loss_function, l2 = nn.Linear(10, 1), nn.MSELoss(), L2(strength)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(steps):
        optimizer.zero_grad()
        loss_function(model(x), y).backward()
        l2.add_to(model.parameters())  # + strength * ||theta||^2, anew in every step
        optimizer.step()
    return model


def by_autograd(model: nn.Linear, strength: float) -> torch.Tensor:
    """The penalty's gradient for the weight, as autograd computes it from the formula."""
    penalty = torch.stack([(p**2).sum() for p in model.parameters()]).sum()
    return torch.autograd.grad(strength * penalty, model.weight)[0]


def main() -> None:
    for strength in (0.0, 0.1, 1.0):
        weight = train(strength).weight.detach()
        print(f"strength {strength}: x1 {weight[0, 0]:+.2f}, x2 {weight[0, 1]:+.2f}, norm {weight.norm():.2f}")
    model = train(0.0, steps=1)
    model.zero_grad()
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    L2(0.1).add_to(model.parameters())
    assert model.weight.grad is not None
    assert torch.allclose(model.weight.grad, by_autograd(model, 0.1))
    print("the added gradient equals autograd's")


if __name__ == "__main__":
    main()
