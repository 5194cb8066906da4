# Everything a newcomer or CI needs; a machine with make and Python 3.11 is enough.
# Each target sets up what it needs first, and again only when pyproject.toml has changed.

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
# Named in the same pip call as Luban: alone, another requirement may bring a larger build.
TORCH ?= torch==2.13.0

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup demo fix check test test-all torture bench results docs

help:  ## say what each target does
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' Makefile

setup: $(VENV)/.dev  ## create .venv with Luban, every extra and the developers' tools

demo: $(VENV)/.run  ## train, test, document and sample a small model on embedded text
	$(BIN)/luban run recipes/demo.yaml

fix: $(VENV)/.dev  ## repair what can be repaired: lint, then format
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

check: $(VENV)/.dev  ## lint, format, types, and that generated docs are fresh
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/python docs/generate.py --check

test: $(VENV)/.dev  ## run the tests on two cores, less those that take minutes
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 2 --dist worksteal

test-all: $(VENV)/.dev  ## run every test but those of torture
	$(BIN)/pytest -m "not torture"

torture: $(VENV)/.dev  ## kills, full disks, forgeries and hostile input in their full counts (hours)
	OMP_NUM_THREADS=1 $(BIN)/pytest -m torture tests/hostile

bench: $(VENV)/.dev  ## run the quick mode of every benchmark
	set -e; for file in benchmarks/[!_]*.py; do \
		name=$$(basename $$file .py); echo "== $$name"; $(BIN)/python -m benchmarks.$$name --quick; done

results: $(VENV)/.dev  ## run every recipe, verify it, and write docs/results.md (hours)
	$(BIN)/python -m benchmarks.results
	$(BIN)/python docs/generate.py

docs: $(VENV)/.dev  ## write the generated pages again
	$(BIN)/python docs/generate.py

$(BIN)/python:
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo 'Luban needs Python 3.11 or newer: make setup PYTHON=/path/to/python3.11' >&2; exit 1; }
	"$(PYTHON)" -m venv $(VENV)

$(VENV)/.run: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check '$(TORCH)' -e .
	touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	$(BIN)/pip install --quiet --disable-pip-version-check '$(TORCH)' -e '.[dev]'
	touch $@ $(VENV)/.run
