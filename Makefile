# Totara Bridge on one machine. `make` lists what can be made.
# PYTHON names the Python to use; TOTARA_BRIDGE_HOME, TOTARA_BRIDGE_AIRFLOW_PORT, TOTARA_BRIDGE_ORACLE_PORT and
# TOTARA_BRIDGE_TOTARA_PORT move the data and the ports of `make up`.

BIN := .venv/bin
LOCAL := $(BIN)/python -m totara_bridge.local
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header
export PYTHON

.DEFAULT_GOAL := help
.PHONY: help up down reset ask migrate secrets test lint format bench soak rounds chaos fuzz screenshots previous lock audit product development

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-11s  %s\n", $$1, $$2 }' Makefile

up: product ## start everything, deliver the sandbox's past, print what came of it
	@$(LOCAL) up

down: ## stop everything that `make up` started, keep the data
	@if [ -x $(BIN)/python ]; then $(LOCAL) down; else echo "Nothing was up."; fi

reset: ## stop everything and delete the data
	@if [ -x $(BIN)/python ]; then $(LOCAL) reset; else echo "Nothing was up."; fi

ask: product ## ask the bridge that is up, such as: make ask WHAT="why --site sbx --learner 3 --course 20"
	@$(LOCAL) ask $(WHAT)

migrate: product ## bring the database of TOTARA_BRIDGE_DATABASE_URL to the revision of this code
	@$(BIN)/python -m totara_bridge.staging.migrate

secrets: ## write .env for docker compose from .env.example, with random values for its secrets
	@.make/secrets

test: development ## run every test; what this machine lacks is listed at the end
	@$(BIN)/python -m pytest --numprocesses 3 --dist loadscope --no-loadscope-reorder

lint: development ## check style, types and the direction of imports
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: development ## put the code into its one style
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

bench: development ## measure the speed against its yardsticks
	@$(BIN)/python -m benchmarks

soak: development ## let 32 systems pull for half an hour while extracts write; MINUTES=
	@$(BIN)/python -m benchmarks.soak $(if $(MINUTES),--minutes $(MINUTES))

rounds: development ## kill senders and break answers at random; SEED=, ROUNDS=, and ROUND= for one of them
	@$(BIN)/python -m tests.chaos $(if $(SEED),--seed $(SEED)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ROUND),--round $(ROUND))

chaos: development ## break everything that runs, one thing after another, for half an hour; MINUTES=, SEED=
	@$(BIN)/python -m tests.chaos.whole $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) $(if $(WRITE),--write)

fuzz: development ## ask the Pull API thousands of things that it allows and forbids; CASES= for each address, SEED=
	@TOTARA_BRIDGE_FUZZ_CASES=$(or $(CASES),500) TOTARA_BRIDGE_FUZZ_SEED=$(or $(SEED),random) \
		$(BIN)/python -m pytest -q -s --timeout=0 tests/web/test_openapi_fuzz.py

screenshots: development ## take the pictures of the control panel in docs/panel anew
	@$(BIN)/python -m tests.browser.screenshots

previous: development ## pack the code before the newest migration, for the tests of upgrades: after writing one
	@$(BIN)/python -m tests.upgrade.previous

lock: development ## write requirements.txt, -production.txt and -dev.txt anew from their .in files
	@$(LOCK) requirements.in -o requirements.txt
	@$(LOCK) requirements-production.in -o requirements-production.txt
	@$(LOCK) requirements-dev.in -o requirements-dev.txt

audit: development ## look for known vulnerabilities in what the locks install; needs the package index itself
	@.make/audit

product:
	@.make/install product

development:
	@.make/install development
