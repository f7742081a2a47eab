# `make demo` and `make test` each work as the first command after a clone: they make .venv, install, and run.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

# Each file of tests stays in one process, so that what a module compiles is compiled once.
PYTEST := $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile
TORCH ?= torch>=2.6,<3

.PHONY: help demo test test-slow test-parity mutants bench smile lint docs site clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): setup.py pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[onnx,xlsx,test,lint]'
	@touch $@

demo: $(INSTALLED)  ## generated corpus and real clips -> records -> three trainings -> MindIR -> intensities, in demo/
	$(BIN)/mindface-eri demo demo

test: $(INSTALLED)  ## the fast tests
	$(PYTEST)

test-slow: $(INSTALLED)  ## whole routes and long checks
	$(PYTEST) -m slow

test-parity: $(INSTALLED)  ## the networks, gradients and converted weights against PyTorch, which this installs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check '$(TORCH)'
	$(PYTEST) -m "slow or not slow" tests/ut/models/test_parity.py tests/ut/deploy/test_convert.py tests/ut/benchmark/test_networks.py

# ROOM: folders or files of the package, such as preprocess or runner/step; COUNT: faults in each, or TOTAL in all.
mutants: $(INSTALLED)  ## small faults put into the package one at a time: which of them do the fast tests notice?
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[mutants]'
	$(BIN)/python tests/mutants/run.py $(ROOM) --seed $(or $(SEED),1) $(if $(TOTAL),--total $(TOTAL),--count $(or $(COUNT),50)) \
		$(if $(AT_LEAST),--at-least $(AT_LEAST)) $(if $(LIMIT),--limit $(LIMIT)) $(if $(OUT),--out $(OUT))

bench: $(INSTALLED)  ## every figure beside what one would use instead, PyTorch included, which this installs
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[bench]' '$(TORCH)'
	$(BIN)/mindface-eri benchmark

# DATA: clips of morphed portraits, as `mindface-eri synthesize --portraits` makes them.
smile: $(INSTALLED)  ## train the model that comes with the package anew, score it on its test people, and put it there
	$(BIN)/mindface-eri preprocess $(DATA) build/smile/records --config configs/smile.yaml --resume
	$(BIN)/mindface-eri train --config configs/smile.yaml --data build/smile/records --out build/smile/run
	$(BIN)/mindface-eri evaluate build/smile/run --split test
	$(BIN)/mindface-eri export build/smile/run --format onnx mindir --out mindface_eri/pretrained/smile

lint: $(INSTALLED)  ## ruff, then pylint, then the types of the public names
	$(BIN)/ruff check .
	$(BIN)/pylint mindface_eri tools
	$(BIN)/mypy

docs: $(INSTALLED)  ## the pages: links, anchors, pictures, commands, code, quoted values
	$(PYTEST) tests/ut/test_docs.py

site: $(INSTALLED)  ## the pages and the reference of the public names as a site, in build/site
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[site]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

clean:  ## remove what the targets made
	rm -rf $(VENV) demo build *.egg-info
