"""The picture for a README."""

from __future__ import annotations

import builtins
import json
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from everlearn import MissingExtra, SettingError
from everlearn.report import write_picture
from everlearn.report.picture import drawn
from everlearn.report.sections import read_sections

Make = Callable[..., Path]
BROWSER = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome")))


def test_the_picture_has_three_panels_a_section_and_a_bar_a_method(make: Make) -> None:
    figure = drawn(read_sections([make("a", answers=False), make("b", answers=False, stream="rivers")]))
    data = figure["data"]
    assert isinstance(data, list)
    bars = [trace for trace in data if isinstance(trace, dict) and trace["type"] == "bar"]
    assert len(bars) == 2 * 3 * 6
    text = json.dumps(figure)
    assert "replay(share=1)+distill(on=memory) or replay(share=1): a tie" in text.replace("<br>", " ").replace("</b> <b>", " ")
    assert "Task ids are hidden" in text
    assert "joint(reference)" in text.replace("  ", "").replace("<br>", "")


def test_hostile_names_are_text_in_the_picture_too(make: Make) -> None:
    figure = drawn(read_sections([make(right={"<b>x</b>": [[38, 0, 0, 0]] * 4}, answers=False)]))
    assert "&lt;b&gt;x&lt;/b&gt;" in json.dumps(figure)


def test_only_bounds_can_be_drawn(make: Make) -> None:
    assert drawn(read_sections([make(right={"frozen": [[38, 0, 0, 0]] * 4}, answers=False)]))["data"]


@pytest.mark.skipif(not BROWSER, reason="needs Chrome or Chromium")
def test_the_picture_is_1600_pixels_wide(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("kaleido")
    path = write_picture(make(answers=False), tmp_path / "new" / "report.png")
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", head[16:20])[0] == 1600


def test_a_picture_that_is_no_png_is_refused(make: Make) -> None:
    with pytest.raises(SettingError, match=r"png must be a file ending in .png, got 'report.gif'"):
        write_picture(make(answers=False), "report.gif")


def test_a_missing_library_names_the_extra(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, usual = make(answers=False), builtins.__import__

    def without(name: str, *more: object) -> object:
        if name.split(".")[0] == "plotly":
            raise ImportError(name)
        return usual(name, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"library='plotly'.*everlearn\[png\]"):
        write_picture(folder, tmp_path / "report.png")


@pytest.mark.parametrize(
    ("problem", "kind", "expected"),
    [
        (ValueError("Image export requires the Kaleido package"), MissingExtra, r"library='kaleido'.*everlearn\[png\]"),
        (RuntimeError("no Chrome"), SettingError, r"needs Chrome or Chromium .*png='.*report.png'.: no Chrome"),
    ],
)
def test_what_the_drawing_needs_is_said(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: Exception, kind: type[Exception], expected: str
) -> None:
    def fails(*given: object, **more: object) -> bytes:
        raise problem

    monkeypatch.setattr("plotly.io.to_image", fails)
    with pytest.raises(kind, match=expected):
        write_picture(make(answers=False), tmp_path / "report.png")
    assert not (tmp_path / "report.png").exists()
