# Every target sets up what it needs. `make help` lists them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
FUZZER := $(VENV)/.fuzzer
SECONDS ?= 120
# Meshes, commands and test workers start hundreds of processes: each reads compiled files, wherever make is run.
export PYTHONDONTWRITEBYTECODE :=
COMPILE = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-annotate \
	--no-emit-index-url --custom-compile-command "make lock"
CORE   := $(wildcard orderbook/*.[ph]* orderbook/*/*.[ph]* connectors/*/*.p[xyd]*)

.PHONY: help setup lock audit build format lint types check test checked cluster-test fuzz bench demo clean
help:
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(STAMP): pyproject.toml requirements.lock requirements/install.lock setup.py $(CORE)
	$(PYTHON) scripts/install $(VENV)
	touch $(STAMP)

setup: $(STAMP) ## make the virtual environment, install dependencies, compile the core

lock: setup ## resolve the dependencies anew, into requirements.lock and requirements/
	$(COMPILE) --extra dev --output-file requirements.lock pyproject.toml
	for group in install audit fuzz; do \
		$(COMPILE) --group $$group --output-file requirements/$$group.lock || exit 1; \
	done

audit: ## ask an advisory service about every locked version
	$(PYTHON) scripts/install build/audit requirements/audit.lock
	build/audit/bin/python scripts/audit requirements.lock requirements/*.lock

build: setup ## compile the changed parts of the core
	@$(BIN)/python setup.py --quiet build_ext --inplace

format: setup ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix-only --quiet .

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup
	$(BIN)/mypy

check: build lint types ## format, lint, types, build, fast tests
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not processes and not soak and not checked"

test: build ## every test
	$(BIN)/python -m pytest -n 3 --dist loadscope -m "not soak and not cluster and not checked"

checked: build ## the tests of the core, on a build with bounds checks and sanitizers
	$(BIN)/python -m pytest -q -m checked tests/connectors/test_scanners_checked_build.py

$(FUZZER): $(STAMP) requirements/fuzz.lock
	$(PYTHON) scripts/install $(VENV) requirements/fuzz.lock
	touch $(FUZZER)

MESHES ?= $(shell $(PYTHON) -c 'import os; print((os.cpu_count() or 2) // 2 or 1)')

cluster-test: build ## a mesh on hosts that are namespaces, killed and cut off; JSON in bench-results/
	VENUEMESH_CLUSTER_RESULTS=bench-results/cluster.json $(BIN)/python -m pytest -v -n $(MESHES) --dist loadgroup tests/cluster --ignore tests/cluster/test_many_pairs.py
	VENUEMESH_CLUSTER_RESULTS=bench-results/cluster-pairs.json $(BIN)/python -m pytest -v tests/cluster/test_many_pairs.py

fuzz: build $(FUZZER) ## fuzz the readers of foreign bytes, for SECONDS in all (120)
	$(BIN)/python -m tests.fuzz --seconds $(SECONDS)

bench: build ## the performance table; JSON in bench-results/
	$(BIN)/python -m benchmarks

demo: build ## run the demonstration: a mesh, its recovery from kills, a summary
	$(BIN)/venuemesh demo

clean:
	rm -rf build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache */*.c */*/*.c */*.so */*/*.so
