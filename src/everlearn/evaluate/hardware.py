"""What computed a run: without it, nobody can judge its seconds or repeat its last digits. Never who or where: no host name, no paths."""

from __future__ import annotations

import platform
from importlib.metadata import version
from pathlib import Path

import psutil
import torch

CPUINFO = Path("/proc/cpuinfo")  # Linux; elsewhere Python knows the processor


def hardware(device: torch.device) -> dict[str, object]:
    """As JSON: the device's name, torch's threads, the bytes of its memory (a CPU's: of the machine), the versions of torch and transformers.

    >>> sorted(hardware(torch.device("cpu")))
    ['device', 'memory_bytes', 'threads', 'torch', 'transformers']
    """
    name, memory = processor(CPUINFO), psutil.virtual_memory().total
    if device.type == "cuda":
        about = torch.cuda.get_device_properties(device)
        name, memory = about.name, about.total_memory
    elif device.type != "cpu":
        name = f"{name} ({device.type})"
    return {
        "device": name,
        "threads": torch.get_num_threads(),
        "memory_bytes": memory,
        "torch": torch.__version__,
        "transformers": version("transformers"),
    }


def processor(listed: Path) -> str:
    """The CPU's name from Linux's list of its cores, else what Python calls it, at least its architecture."""
    lines = listed.read_text(encoding="utf-8", errors="replace").splitlines() if listed.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next((name for name in named if name), "") or platform.processor() or platform.machine()
