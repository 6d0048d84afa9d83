# Requires Python 3.11 or newer with pip and venv, make and git. `make` without a target lists the targets.
PYTHON ?= python3
PORT ?= 8000
# Parallel test processes.
JOBS ?= auto
# Extra arguments for a target's program: make test ARGS="tests/unit -x"
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
INSTALL := $(PIP) install --require-hashes --requirement

.PHONY: help run test test-unit lint format bench lock env dev clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 20

run: env ## start Duban on SQLite with sample data, and print the address and a one-time password
	$(BIN)/duban serve --demo --host 127.0.0.1 --port $(PORT) $(ARGS)

test: dev ## run all tests, on SQLite and PostgreSQL, and in Chromium if installed
	$(BIN)/python -m pytest -n $(JOBS) --maxprocesses 8 $(ARGS)

test-unit: dev ## run the tests that need no database and no service, in under a minute
	$(BIN)/python -m pytest -q -n $(JOBS) --maxprocesses 8 tests/unit tests/test_architecture.py tests/test_house_of_tests.py $(ARGS)

lint: dev ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell $$(git ls-files)
	$(BIN)/mypy

format: dev ## format the source
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: dev ## run every benchmark at a small size, each with its reference
	$(BIN)/python -m bench $(ARGS)

lock: dev ## refresh the lock files (make lock ARGS=--upgrade for newer versions)
	$(PIP) install 'uv>=0.9'
	$(BIN)/uv pip compile pyproject.toml --extra build --extra dev --output-file requirements-dev.lock $(LOCK) $(ARGS)
	$(BIN)/uv pip compile pyproject.toml --extra build --constraint requirements-dev.lock \
		--output-file requirements.lock $(LOCK)

LOCK := --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet

clean: ## remove the environment, caches and build output; keep data/
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis test-results *.egg-info
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

env: $(VENV)/.installed
dev: $(VENV)/.installed-dev

$(VENV)/.installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Duban needs Python 3.11 or newer; $(PYTHON) is older. Use another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing Duban's libraries into $(VENV) (takes a minute) ..."
	@$(INSTALL) requirements.lock
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.lock
	@echo "Installing the test libraries ..."
	@$(INSTALL) requirements-dev.lock
	@touch $@
