# Everything from nothing: each target makes the environment it needs, at pinned versions.
PYTHON ?= python3
BIN := .venv/bin
DATA ?= streams

.PHONY: demo test test-long lint bench bench-peers results tiny clean

demo: .venv/core
	$(BIN)/everlearn demo

# One process a core with one thread each: small tensors gain nothing from a second thread.
test: lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --dist loadfile

# A home killed at random and before every operation on a file; EVERLEARN_SIZE=0.1 makes a tenth of the kills.
test-long: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest tests/long -m long -n auto

lint: .venv/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Speed; DATA holds the streams (instructions is needed).
bench: .venv/test
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore benchmarks/plain_speed.py $(DATA)/instructions
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore benchmarks/method_cost.py
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore benchmarks/growth.py
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore benchmarks/plan.py $(DATA)/instructions

# Beside Avalanche, in an environment of its own: it pins torchvision, of which there is no CPU build for this torch.
bench-peers: .venv-peers/made
	OMP_NUM_THREADS=1 PYTHONPATH=src .venv-peers/bin/python -W ignore benchmarks/peers.py

.venv-peers/made: requirements/torch.txt requirements/core.txt requirements/peers.txt
	test -x .venv-peers/bin/python || $(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check -r requirements/core.txt
	.venv-peers/bin/python -m pip install --quiet --disable-pip-version-check --no-deps -r requirements/peers.txt
	touch $@

# DATA holds the nine streams, MODEL is the model to teach; what does not fit MINUTES is left to the next run of the same command.
MODEL ?= models/news2016
MINUTES ?= 60
results: .venv/core
	$(BIN)/python benchmarks/streams.py $(DATA) --model $(MODEL) --minutes $(MINUTES)
	$(BIN)/python scripts/write_tables.py

tiny: .venv/core
	$(BIN)/python scripts/make_tiny.py

.venv/core: requirements/torch.txt requirements/core.txt pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/torch.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/core.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

.venv/test: .venv/core requirements/extras.txt requirements/test.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements/extras.txt -r requirements/test.txt
	touch $@

clean:
	rm -rf .venv .venv-peers runs build dist
