"""32 clients for 60 s across 20 promotions and rollbacks: no failed request, every answer from one version. EVERLEARN_SIZE scales the time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SIZE = float(os.environ.get("EVERLEARN_SIZE", "1"))


@pytest.mark.long
def test_no_request_fails_across_promotions_and_rollbacks(tmp_path: Path) -> None:
    seconds = max(10, round(60 * SIZE))
    command = [sys.executable, "benchmarks/serve.py", "--only", "swaps", "--seconds", str(seconds), "--out", str(tmp_path / "serve.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "20 of 20 promotions and rollbacks seen" in done.stdout
    assert " 0 failed, 0 of another version" in done.stdout
