# `make quickstart` and `make test` need Python 3.11 or newer with its venv module, and nothing else.
# Everything is installed into .venv, at the versions of constraints.txt.

VENV := .venv
BIN := $(VENV)/bin
# A Python of your own:          make quickstart PYTHON=/path/to/python3.12
# What the tests install extra:  make test TEST_EXTRAS=dev     (without torch: its parity tests are skipped)
PYTHON ?=
TEST_EXTRAS ?= dev,smpl,torch
PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help quickstart setup test test-all lint format types docs constraints clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

quickstart: $(VENV)/.installed  ## install, then distil three experts on three bodies into one policy, with a report
	$(BIN)/arnold distill quickstart

setup: $(VENV)/.tests-installed  ## install the package in editable mode with what tests and lint need

test: $(VENV)/.tests-installed  ## install, then run the default test suite
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/.tests-installed  ## the default test suite and the tests marked slow
	$(BIN)/python -m pytest -q -n 2 --dist loadfile

lint: $(VENV)/.tests-installed types  ## ruff, its formatter as a check, and mypy on the package
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.tests-installed  ## let ruff format the code and put right what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# mypy finds a package by its path, and `vocab/` is arnold.vocab only after installation, so the folders are laid out
# here (as links) the way the wheel lays them out.
types:
	@rm -rf .build/types && mkdir -p .build/types/arnold
	@cd .build/types/arnold && ln -s $(addprefix ../../../,arnold/* checkpoints embodiments experiments tasks vocab) .

docs: $(VENV)/.tests-installed  ## build the documentation site into .build/site; a warning is an error
	@rm -rf .build/site
	$(BIN)/python docs/site/build.py .build/site

constraints:  ## write constraints.txt anew from the newest versions that install together (then run the tests)
	rm -rf .build/newest && $(or $(PYTHON),python3) -m venv .build/newest
	.build/newest/bin/python -m pip install --disable-pip-version-check -e '.[$(TEST_EXTRAS)]'
	.build/newest/bin/python -m pip freeze | sh .ci/constraints > .build/constraints.txt
	mv .build/constraints.txt constraints.txt

clean:  ## remove the virtual environment and everything that was built
	rm -rf $(VENV) .build build dist ./*.egg-info .mypy_cache .pytest_cache .ruff_cache

$(BIN)/python:
	@PYTHON='$(PYTHON)' VENV='$(VENV)' sh .ci/venv

$(VENV)/.installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing arnold and what it needs into $(VENV): about 2 GB on disk, a few minutes the first time."
	$(PIP_INSTALL) -e .
	@touch $@

$(VENV)/.tests-installed: $(BIN)/python pyproject.toml constraints.txt
	@echo "Installing arnold with the extras $(TEST_EXTRAS) into $(VENV): a few minutes the first time."
	$(PIP_INSTALL) -e '.[$(TEST_EXTRAS)]'
	@touch $@ $(VENV)/.installed
