# `make demo` and `make test` work in a fresh clone: both set up the virtual environment first.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SIZE ?= demo

.PHONY: demo test lint types check clean help
.DEFAULT_GOAL := help

help:
	@echo "make demo    set up, run the main comparison at its demo size, write the report"
	@echo "make test    set up and run the test suite"
	@echo "make check   lint, types and tests"
	@echo "make clean   remove the virtual environment (data, runs and reports stay)"

# Written last, so that an interrupted installation is done again.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed; name one with PYTHON=..."; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed
	$(BIN)/lab sweep matched-params --size $(SIZE)
	$(BIN)/lab report matched-params --size $(SIZE)
	@echo
	@echo "The report:      reports/matched-params/$(SIZE)/report.md"
	@echo "All runs:        $(BIN)/lab runs list"
	@echo "In the browser:  $(BIN)/lab ui"

# One thread per worker: the workers already share the cores.
test: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto --maxprocesses 8

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

check: lint types test

clean:
	rm -rf $(VENV)
