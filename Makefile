# Every command of the house. `make` alone lists them.

PYTHON  ?= python3
PORT    ?= 8080
DATA    ?=
WORKERS ?= 3
ARGS    ?=

VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.set-up-in

# A copied or moved tree carries a .venv whose scripts still point to the old place: the stamp names the place it was made in.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
MOVED := moved
endif

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-print-directory
.PHONY: help setup run demo test test-stack test-deploy soak lint format lock bench bench-scale bench-stack bench-model hard-cases ledger clean moved

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@echo
	@echo "  Variables: PORT=$(PORT) DATA=$(DATA) PYTHON=$(PYTHON) WORKERS=$(WORKERS), as in: make run PORT=9090"

setup: $(STAMP) ## make .venv from requirements.lock (does nothing when it is up to date)

$(STAMP): requirements.lock pyproject.toml $(MOVED)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "Horae needs Python 3.11 or newer, and '$(PYTHON)' is $$($(PYTHON) --version 2>/dev/null || echo 'not there')." >&2; \
		echo "Name a newer one, for example: make $(or $(firstword $(MAKECMDGOALS)),setup) PYTHON=python3.12" >&2; exit 1; }
	@if [ -e $(STAMP) ] && [ "$$(cat $(STAMP))" != "$(CURDIR)" ]; then rm -rf $(VENV); fi
	@if uv --version >/dev/null 2>&1 && { \
		echo "Setting up $(VENV) with uv ..."; \
		{ $(BIN)/python -c '' 2>/dev/null || uv venv --quiet --clear --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); } && \
		uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock && \
		uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .; }; then :; \
	else \
		echo "Setting up $(VENV) with pip (a minute or two) ..."; \
		{ $(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV); } && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock && \
		$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .; \
	fi
	@printf '%s\n' "$(CURDIR)" > $(STAMP)

run: setup ## start everything on http://localhost:PORT, data in .horae (or DATA); Ctrl-C stops it
	@exec $(BIN)/horae run --port $(PORT) $(if $(DATA),--data $(DATA)) --allow-private-targets

demo: setup ## import the examples on a virtual clock, fire what is due, tell the story
	@exec $(BIN)/python examples/demo.py

define STACK_CHECK
$(BIN)/horae stack check >/dev/null || { \
	if [ "$$CI" = true ]; then echo "CI=true: the tests on Kafka and Elasticsearch are not skipped here." >&2; exit 1; fi; \
	echo "Until then the tests on Kafka and Elasticsearch (marked \`stack\`) are skipped." >&2; }
endef

# First what needs the machine for itself: the load that it carries while parts of it are killed is what it is about.
# Then the others, by file, so that the tests of one share their services; three at a time, as those on the stack wait a
# third of theirs. (loadgroup of pytest-xdist 3.8 does not group under pytest 9.)
test: lint ## lint, then every test except the long runs, what Go builds, and the longest once more on the stack
	@$(STACK_CHECK)
	@$(BIN)/pytest -m "not soak" tests/e2e/crash
	@exec $(BIN)/pytest -n $(WORKERS) --dist loadfile --ledger-goes-on -m "not soak and not built and not (stack and longer)" --ignore=tests/e2e/crash

test-stack: setup ## everything that needs Java and Maven: Kafka, Elasticsearch, the stack from end to end
	@$(STACK_CHECK)
	@exec $(BIN)/pytest -n $(WORKERS) --dist loadfile -m "stack and not soak"

# Apart from `make test`: Go builds promtool, helm and our checker once, which takes more than ten minutes on two cores.
test-deploy: setup ## the chart, the compose file and the alerts, tried by their own tools (needs Go)
	@exec $(BIN)/pytest -m "built and not soak"

soak: setup ## the long runs: crash after crash, mutants, histories; then an hour of even load
	@$(BIN)/pytest -m soak
	@exec $(BIN)/python -m benchmarks.soak

lint: setup ## ruff, mypy and the import contracts
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

format: setup ## let ruff put the code in order
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: ## compile both lock files anew from pyproject.toml (needs uv)
	uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet --output-file requirements.lock
	uv pip compile pyproject.toml --constraint requirements.lock --universal --python-version 3.11 --generate-hashes \
		--no-header --no-annotate --quiet --output-file deploy/requirements.lock

bench: setup ## measure this machine, beside the peers' figures (15 minutes; ARGS="--only creates64 --rounds 1")
	@exec $(BIN)/python -m benchmarks $(ARGS)

bench-scale: setup ## cost with 10,000 to a million schedules waiting (ARGS="--schedules 1000000 10000000")
	@exec $(BIN)/python -m benchmarks.scale $(ARGS)

bench-stack: setup ## measure the stack profile with real Kafka and Elasticsearch (about ten minutes)
	@exec $(BIN)/python -m benchmarks.stack

bench-model: setup ## judge the learner in simulated worlds, beside simple ways to choose (one core)
	@OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 $(BIN)/python -m benchmarks.model

hard-cases: setup ## ask java.time and four peers the hard cases of docs/time.md anew (needs Java, Maven, a network)
	@exec $(BIN)/python -m benchmarks.hard_cases $(ARGS)

ledger: setup ## which requirement rows a passing test of the last run shows
	@exec $(BIN)/python -m tests.plugins.ledger_report

clean: ## remove what can be made again (never DATA)
	rm -rf $(VENV) dist build .ledger.json .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -not -path './$(VENV)/*' -prune -exec rm -rf {} +
