"""The public names: sorted, real, and loaded only when used."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import everlearn

SOURCE = Path(everlearn.__file__)


def test_all_names_are_sorted_and_can_be_imported() -> None:
    assert everlearn.__all__ == sorted(everlearn.__all__)
    for name in everlearn.__all__:
        assert getattr(everlearn, name) is not None


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(SOURCE.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(everlearn.__all__) - {"__version__"}


def test_importing_everlearn_does_not_import_torch() -> None:
    code = "import sys, everlearn, everlearn.cli; print([m for m in ('torch', 'transformers', 'pydantic', 'rich.table') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_of_the_kind"):
        everlearn.nothing_of_the_kind  # noqa: B018
