# Every target sets up what it needs. `make` alone lists them.

PYTHON  ?= $(shell command -v python3.11 || command -v python3)
PIP     := -m pip install --quiet --disable-pip-version-check
BIN     := .venv/bin
DOCS    := docs/_build
TYPED   := src tools $(wildcard tests/typing)
LINTED  := src tests tools docs $(wildcard bench)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-all check bench docs fmt clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-8s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: .venv/.with-cli ## show what graven does, on real input, with measured figures
	$(BIN)/graven demo

test: .venv/.with-test ## run every test (arguments: make test ARGS="-k scopes")
	$(BIN)/python -m pytest $(ARGS)

test-all: export GRAVEN_EVERY_POINT = 1
test-all: .venv/.with-test ## run every test, and kill processes at every point, not a sample
	$(BIN)/python -m pytest $(ARGS)

check: .venv/.with-dev ## format, lint, types, import contracts, generated code, changelog, docs
	$(BIN)/ruff format --check $(LINTED)
	$(BIN)/ruff check $(LINTED)
	$(BIN)/python tools/unasync.py --check
	$(BIN)/lint-imports
	$(BIN)/mypy --strict $(TYPED)
	$(BIN)/pyright
	$(BIN)/towncrier build --draft >$(CURDIR)/.venv/changelog.md
	$(MAKE) --no-print-directory docs

bench: .venv-bench/.ready ## measure graven against its peers
	.venv-bench/bin/python -m bench $(ARGS)

docs: .venv/.with-docs ## build the documentation and run its doctests
	$(BIN)/sphinx-build -q -n -W --keep-going -b html docs $(DOCS)/html
	$(BIN)/sphinx-build -q -n -W --keep-going -b doctest docs $(DOCS)/doctest

fmt: .venv/.with-dev ## format, fix what can be fixed, regenerate the blocking shell
	$(BIN)/python tools/unasync.py
	$(BIN)/ruff check --fix-only --quiet $(LINTED)
	$(BIN)/ruff format $(LINTED)

clean: ## remove what the other targets made
	rm -rf .venv .venv-bench $(DOCS) dist .mypy_cache .pytest_cache .ruff_cache .hypothesis

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/.with-%: pyproject.toml | .venv/bin/python
	$(BIN)/python $(PIP) --editable '.[$*]'
	@touch $@

.venv-bench/.ready: pyproject.toml bench/requirements.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python $(PIP) --editable . --requirement bench/requirements.txt
	@touch $@
