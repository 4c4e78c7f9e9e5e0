"""`everlearn serve` as a process: what it prints, answers, and how it ends."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

from typer.testing import CliRunner

from everlearn import create_home
from everlearn.cli import app
from tests.serve.calling import call

ASK = {"prompt": "Question: What is 7 plus 5?\nAnswer:", "max_tokens": 4}


def test_it_says_where_it_answers_and_ends_at_a_signal(tmp_path: Path) -> None:
    home = create_home(tmp_path / "home")
    command = [sys.executable, "-m", "everlearn", "serve", str(home.folder), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            line = process.stdout.readline()
            found = re.fullmatch(r"Version 0 \((\w{16})\) of .* answers at (http://127\.0\.0\.1:\d+)/v1; pages are at \2\. Ctrl-C stops\.\n", line)
            assert found is not None, line
            assert call(found[2], "GET", "/health").json["id"] == found[1] == home.head.id
            assert call(found[2], "POST", "/v1/completions", ASK).json["choices"][0]["text"] == " 12"
        finally:
            process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=120)
        assert errors == ""
        assert process.returncode in (0, -signal.SIGTERM)  # uvicorn hands a signal on once it has ended well


def test_help_names_the_routes_and_the_guard() -> None:
    told = CliRunner().invoke(app, ["serve", "--help"], env={"COLUMNS": "160", "TERM": "dumb"}).output
    for word in ("/v1/chat/completions", "/v1/feedback", "/v1/documents", "/metrics", "--keys", "--host", "canary"):
        assert word in told
