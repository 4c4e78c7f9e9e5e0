# Everything from nothing: each target makes the environment it needs, at pinned versions.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint bench tiny clean

demo: .venv/core
	$(BIN)/everlearn demo

test: lint
	$(BIN)/python -m pytest

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/core
	$(BIN)/python benchmarks/step_overhead.py

tiny: .venv/core
	$(BIN)/python scripts/make_tiny.py

.venv/core: requirements/torch.txt requirements/core.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/core.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/test: .venv/core requirements/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/test.txt
	touch $@

clean:
	rm -rf .venv runs build dist
