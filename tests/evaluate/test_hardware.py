"""What computed a run, and nothing that says who or where."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from everlearn.evaluate.hardware import hardware, processor


def test_a_cpu_is_named_with_its_threads_memory_and_libraries() -> None:
    found = hardware(torch.device("cpu"))
    assert (found["threads"], found["torch"]) == (torch.get_num_threads(), torch.__version__)
    assert found["device"]
    assert isinstance(found["memory_bytes"], int)
    assert found["memory_bytes"] > 10**8
    assert set(found) == {"device", "threads", "memory_bytes", "torch", "transformers"}
    assert "/" not in json.dumps(found)


def test_a_gpu_is_named_with_its_own_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: SimpleNamespace(name="NVIDIA H200", total_memory=150_000_000_000))
    found = hardware(torch.device("cuda"))
    assert (found["device"], found["memory_bytes"]) == ("NVIDIA H200", 150_000_000_000)


def test_another_accelerator_is_named_after_its_processor() -> None:
    assert str(hardware(torch.device("mps"))["device"]).endswith(" (mps)")


def test_a_processor_without_a_name_is_its_architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some: CPU @ 2 GHz\nprocessor\t: 1\nmodel name\t: other\n")
    assert processor(tmp_path / "cpuinfo") == "Some: CPU @ 2 GHz"
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nBogoMIPS\t: 50\n")
    monkeypatch.setattr(platform, "processor", lambda: "")
    assert processor(tmp_path / "cpuinfo") == processor(tmp_path / "nowhere") == platform.machine()
