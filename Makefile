# `make demo` and `make test` work in a fresh clone: both do first what `make setup` does.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
SIZE ?= demo
TESTS ?= usual

# The GPU machine needs neither a network nor this package installed: see kernels/README.md.
GPU_PYTHON ?= python3
GPU_PYTHON_VERSION ?= 3.12
GPU_OUT ?= reports/gpu/new
GPU_MINUTES ?= 8
GPU_PACKAGES := pydantic pydantic_core annotated-types typing-inspection typing_extensions tomli tomli_w

.PHONY: setup demo test drill mutants lint types check docs study study-archive gpu gpu-wheels clean help
.DEFAULT_GOAL := help

help:
	@echo "make setup   create the virtual environment with all packages"
	@echo "make demo    set up, run the main comparison at demo size, write the report"
	@echo "make test    set up and run the usual tests; TESTS=all adds those that take long"
	@echo "make check   lint, types and all tests"
	@echo "make drill   kill and disturb sweeps, check that results do not change (takes minutes)"
	@echo "make mutants plant faults one at a time, check that a test notices each (takes minutes)"
	@echo "make docs    build the documentation site into site/"
	@echo "make study   write the reports of the pocket study from its recorded runs"
	@echo "make study-archive  pack the runs of the pocket study, without weights"
	@echo "make gpu     check and time everything on this machine's GPU within $(GPU_MINUTES) minutes"
	@echo "make gpu-wheels  download the small packages that 'make gpu' installs without a network"
	@echo "make clean   remove the virtual environment (data, runs and reports stay)"

PIP_INSTALL = $(BIN)/pip install --disable-pip-version-check -c constraints.txt

# Created last, so that an interrupted installation is repeated.
$(VENV)/.installed: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "error: Python 3.11 or newer is needed; set PYTHON=..."; exit 2; }
	@echo "[1/3] Creating the virtual environment $(VENV): a few seconds."
	@$(PYTHON) -m venv $(VENV)
	@echo "[2/3] Installing PyTorch: about a minute, more if pip chooses the build with CUDA."
	@$(PIP_INSTALL) torch
	@echo "[3/3] Installing the lab and all other packages: three to five minutes. During the second"
	@echo "      half, after 'Installing collected packages', pip prints nothing."
	@$(PIP_INSTALL) -e '.[dev]'
	@touch $@

setup: $(VENV)/.installed
	@echo "$(VENV) is ready. Next: 'make demo' or 'make test'; '$(BIN)/lab doctor' checks this machine."

demo: $(VENV)/.installed
	$(BIN)/lab sweep matched-params --size $(SIZE)
	$(BIN)/lab report matched-params --size $(SIZE)
	@echo
	@echo "The report:      reports/matched-params-$(SIZE)-*/report.md"
	@echo "All runs:        $(BIN)/lab runs list"
	@echo "In the browser:  $(BIN)/lab ui"

MARKS_all := -m 'not gpu and not slow and not network and not drill'

# One thread per worker: the workers already share the cores. Modules are compiled once, not again
# by every process that the tests start. Each worker begins with a part of its own, so that most
# files are run by one worker, which prepares once what their tests share; the last are divided.
test: $(VENV)/.installed
	@$(if $(filter usual all,$(TESTS)),,$(error TESTS=$(TESTS): use usual or all))
	PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 \
		$(BIN)/python -m pytest -n auto --maxprocesses 8 --dist worksteal $(MARKS_$(TESTS))

# Takes minutes; docs/faults.md lists the injected faults.
drill: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m 'drill or slow' tests/drills tests/integration tests/tracking -n auto

# Takes minutes; tests/mutations/mutations.toml lists the planted faults.
mutants: $(VENV)/.installed
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m slow tests/mutations -n auto

lint: $(VENV)/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/.installed
	$(BIN)/mypy

check: lint types
	$(MAKE) test TESTS=all

# Needs no network. The variable silences the theme's notice on its end of life (see pyproject.toml).
docs: $(VENV)/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict
	@echo "The site: site/index.html; for its search, serve it: $(BIN)/mkdocs serve"

STUDY := reports/pocket
STUDY_TABLES := 1 2 3 4 7

study: $(VENV)/.installed
	tar -C $(STUDY) -xJf $(STUDY)/runs.tar.xz --skip-old-files
	LAB_HOME=$(STUDY) $(BIN)/lab report $(foreach number,$(STUDY_TABLES),table$(number))
	LAB_HOME=$(STUDY) $(BIN)/lab report ladder
	LAB_HOME=$(STUDY) $(BIN)/lab report

# Weights and databases are left out; equal runs give equal bytes.
study-archive:
	tar -C $(STUDY) --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner \
		--exclude=checkpoints --exclude='mlflow*' --exclude='.*.lock' --exclude=.listing.json \
		--exclude=unsynced --exclude='*.samples.jsonl' \
		-cJf $(STUDY)/runs.tar.xz runs

# Wheels go to .gpu-site in the checkout; the machine's own packages stay unchanged.
gpu:
	@set -e; if ls .wheels/*.whl >/dev/null 2>&1; then \
		$(GPU_PYTHON) -m pip install --quiet --no-index --no-deps --upgrade --target .gpu-site .wheels/*.whl; \
	fi
	PYTHONPATH=.gpu-site $(GPU_PYTHON) -m switchhead_lab.benchmark.gpu \
		--out $(GPU_OUT) --minutes $(GPU_MINUTES) $(GPU_ARGS)

gpu-wheels:
	rm -rf .wheels
	$(PYTHON) -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
		--implementation cp --python-version $(GPU_PYTHON_VERSION) \
		--platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 --dest .wheels \
		$(foreach package,$(GPU_PACKAGES),$(shell grep -i '^$(package)==' constraints.txt))
	@du -ch .wheels/*.whl | tail -1

clean:
	rm -rf $(VENV)
