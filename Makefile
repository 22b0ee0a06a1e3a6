# `make` alone lists the targets. Every target does its own set-up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# What is installed wholly: the packages of the programs, and those of the tests as well.
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): pyproject.toml constraints.txt tools/install.py
	@$(PYTHON) tools/install.py run

$(READY_DEV): pyproject.toml constraints.txt tools/install.py
	@$(PYTHON) tools/install.py dev

.PHONY: setup
setup: $(READY) ## make the virtual environment and install the pinned packages; tests add theirs when they are run

.PHONY: demo
demo: $(READY) ## draw a first picture with the demo model, over the real API
	$(BIN)/python examples/demo.py $(ARGS)

.PHONY: run
run: $(READY) ## start the API and the runner (the Procfile) and stay
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/honcho start --port $${PORT:-5050}

.PHONY: test
test: check $(READY_DEV) ## lint, types, import rules and all tests; ARGS=--cov counts branch coverage and holds its floor
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal $(ARGS)

.PHONY: check
check: $(READY_DEV) ## lint, types and import rules only
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: faults
faults: $(READY_DEV) ## the long form of the fault tests: full crash sweeps, random kills, power cuts
	$(BIN)/python -m pytest -m long --timeout 3600 tests/faults $(ARGS)

.PHONY: bench
bench: $(READY_DEV) ## measure the figures of docs/performance.md, quickly (under 5 minutes)
	$(BIN)/python -m bench $(ARGS)

.PHONY: bench-full
bench-full: $(READY_DEV) ## measure them all, with 100,000 jobs (ARGS=--million: 1,000,000 too)
	$(BIN)/python -m bench --full $(ARGS)

.PHONY: models
models: $(READY) ## list the models of the catalog; `make models ARGS="pull flux-1"` fetches one
	$(BIN)/python -m runner.models $(or $(ARGS),list)

.PHONY: screenshots
screenshots: $(READY_DEV) ## pictures of the web page, into ./screenshots (needs Chromium)
	$(BIN)/python -m tests.browser.screenshots $(ARGS)

.PHONY: readme-picture
readme-picture: $(READY_DEV) ## the picture of the page in the README, made with the demo model (needs Chromium)
	$(BIN)/python -m tests.browser.screenshots --readme

.PHONY: clean
clean: ## remove the virtual environment and caches; var/ (your jobs and images) stays
	rm -rf $(VENV) .coverage .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info
