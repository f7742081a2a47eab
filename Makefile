# `make demo` and `make test` each work as the first command after a clone: they make .venv, install, and run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: help demo test test-slow lint clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

$(INSTALLED): setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[onnx,test,lint]'
	@touch $@

demo: $(INSTALLED)  ## generated corpus and real clips -> records -> three trainings -> MindIR -> intensities, in demo/
	$(BIN)/mindface-eri demo demo

test: $(INSTALLED)  ## the fast tests
	$(BIN)/python -m pytest

test-slow: $(INSTALLED)  ## whole routes and long checks
	$(BIN)/python -m pytest -m slow

lint: $(INSTALLED)  ## ruff
	$(BIN)/ruff check .

clean:  ## remove what the targets made
	rm -rf $(VENV) demo build *.egg-info
