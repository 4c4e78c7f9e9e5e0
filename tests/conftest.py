"""What many tests share: one tiny model, read only, and fresh copies."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from everlearn import CausalModel, load_model


@pytest.fixture(scope="session", autouse=True)
def one_thread_each() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def shared_tiny() -> CausalModel:
    """The tiny model; tests that use it do not change it."""
    return load_model("tiny")


@pytest.fixture
def tiny() -> CausalModel:
    """A tiny model of one's own."""
    return load_model("tiny")


@pytest.fixture
def load_tiny() -> Callable[[], CausalModel]:
    return load_model
