# Needs make and Python 3.11 or newer with venv; everything else is installed into .venv.
# `make` alone lists the targets.

SHELL := /bin/sh
PY := .venv/bin/python
BIN := .venv/bin
SQL := migrations/default hasura/seeds
# Tests come in an order of this seed: a gate says the same twice. Another seed is another order.
SEED ?= 20261121
# Where tests in a browser leave what they saw.
SCREENSHOTS ?= .sandbox/screenshots

# The first Python that is new enough, unless PYTHON names one. Bytecode is wanted: it halves a start.
FIND_PYTHON = for python in $${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do \
	  if "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found="$$python"; break; fi; done; \
	  if [ -z "$$found" ]; then \
	    echo "munim: Python 3.11 or newer is needed: apt install python3 python3-venv" >&2; exit 1; fi
INSTALL = @unset PYTHONDONTWRITEBYTECODE; $(FIND_PYTHON); exec "$$found" -m sandbox.installation

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: .installed-for-test ## make .venv with everything, for running and testing

.PHONY: run
run: .installed-for-run ## start the sandbox, play one payment, stay up until Ctrl-C
	@exec env -u PYTHONDONTWRITEBYTECODE $(PY) -m sandbox

.PHONY: reset
reset: .installed-for-run ## delete the sandbox's data
	@$(PY) -m sandbox reset

.PHONY: test
test: .installed-for-test ## run the tests that a change needs
	@env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -n 2 --dist loadgroup -m "not thorough" \
	  --hypothesis-seed $(SEED) --randomly-seed $(SEED)

.PHONY: thorough
thorough: .installed-for-test ## run the others: machines, races, kills, fuzz, bugs on purpose
	@env -u PYTHONDONTWRITEBYTECODE SCREENSHOTS=$(SCREENSHOTS) $(PY) -m pytest -n 2 --dist loadgroup -m thorough \
	  --hypothesis-seed $(SEED) --randomly-seed $(SEED)

.PHONY: browser
browser: ## install Chromium and letters for Hindi by apt: the tests of pages need it, and are skipped without
	@command -v chromium >/dev/null || command -v chromium-browser >/dev/null || { apt-get update -qq \
	  && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium fonts-lohit-deva >/dev/null; } || { echo "munim: Chromium is not there: apt install chromium, as root" >&2; exit 1; }

.PHONY: fuzz-engine
fuzz-engine: .installed-for-test ## ask the engine random queries; EXAMPLES=1000 by default
	@FUZZ_EXAMPLES=$(or $(EXAMPLES),1000) $(PY) -m pytest tests/engine/random_queries \
	  -p no:randomly --timeout 0 --tb short -q

.PHONY: sabotage
sabotage: .installed-for-test ## put bugs into a copy, one by one, and see that the tests notice
	@$(PY) tests/sabotage/breaking.py $(ARGS)

.PHONY: prove
prove: .installed-for-test ## spoil every outgoing call of every flow in every way; PAIRS=1000, SEED=2
	@PROOF=all PROOF_PAIRS=$(or $(PAIRS),200) PROOF_SEED=$(or $(SEED),1) \
	  $(PY) -m pytest tests/proof -p no:randomly --timeout 0 --tb short -q --durations 10

.PHONY: soak
soak: .installed-for-test ## kill and cut parts while people buy; MINUTES=10, slices add up in .sandbox/soak
	@PYTHONPATH=.:tests $(PY) -m proof.soak --minutes $(or $(MINUTES),10) $(ARGS)

.PHONY: sim
sim: .installed-for-test ## the kernel beside its model, messages in any order, 100,000 payments; PAYMENTS=2000 SEED=2
	@MACHINE_EXAMPLES=$(or $(EXAMPLES),5000) SHUFFLES=$(or $(SHUFFLES),1000) $(PY) -m pytest \
	  tests/kernel/test_machine.py tests/gateways/test_*_shuffle.py -n 2 --timeout 0 -q
	@$(MAKE) --no-print-directory sim-payments

.PHONY: sim-payments
sim-payments: .installed-for-test ## simulate payments over four gateways that lose answers; PAYMENTS=2000 SEED=2
	@PYTHONPATH=.:tests:tests/sandbox/gateways $(PY) -m simulation \
	  --payments $(or $(PAYMENTS),100000) --seed $(SEED) $(ARGS)

.PHONY: check
check: .installed-for-test ## run every linter and the type checker
	@echo "ruff" && $(BIN)/ruff check --quiet .
	@echo "ruff format" && $(BIN)/ruff format --quiet --check .
	@echo "mypy" && $(BIN)/mypy --no-error-summary
	@echo "imports" && PYTHONPATH=. $(BIN)/lint-imports --no-cache > .venv/lint-imports.txt \
	  || { cat .venv/lint-imports.txt; exit 1; }
	@echo "sqlfluff" && $(BIN)/sqlfluff lint --disable-progress-bar $(SQL)
	@echo "squawk" && $(BIN)/squawk migrations/default/*/up.sql
	@echo "codespell" && $(BIN)/codespell .

.PHONY: fix
fix: .installed-for-test ## format, and mend what the linters can mend
	@$(BIN)/ruff check --quiet --fix .
	@$(BIN)/ruff format --quiet .

.PHONY: schema
schema: .installed-for-run ## write migrations/schema.sql anew
	@$(PY) -m sandbox schema > .venv/schema.sql && cp .venv/schema.sql migrations/schema.sql
	@echo "wrote migrations/schema.sql"

.PHONY: routes
routes: .installed-for-run ## list the endpoints of the app
	@$(PY) -c "$$ROUTES"
define ROUTES
import app
from app.endpoints import discover

for endpoint in discover(app):
    for path in endpoint.paths:
        print(f"POST  {path:<34}{endpoint.door:<10}{endpoint.name}")
endef
export ROUTES

.PHONY: package-check
package-check: .installed-for-test ## make the artifact for Lambda, and run it
	@npm ci --no-fund --no-audit
	@env -u PYTHONDONTWRITEBYTECODE $(PY) -m pytest -m artifact tests/serverless

.PHONY: bench
bench: .installed-for-test ## measure a posting beside the barest one
	@PYTHONPATH=. $(PY) bench/posting.py

HORDAK := .sandbox/bench/hordak
.PHONY: bench-ledger
bench-ledger: .installed-for-test ## measure a posting beside its peers; ARGS=--quick takes a minute
	@if ! cmp -s bench/hordak/requirements.txt $(HORDAK)/installed.txt; then \
	  mkdir -p .sandbox/bench && $(PY) -m venv --clear $(HORDAK) \
	    && $(HORDAK)/bin/python -m pip install --quiet --disable-pip-version-check \
	      -r bench/hordak/requirements.txt \
	    && cp bench/hordak/requirements.txt $(HORDAK)/installed.txt \
	    || echo "munim: pip could not install django-hordak, so it is left out"; fi
	@PYTHONPATH=. $(PY) bench/ledger.py $(ARGS)

.PHONY: bench-engine
bench-engine: .installed-for-test ## measure the engine beside its peers; ARGS=--quick takes a minute
	@if ! command -v npm > /dev/null; then \
	  echo "munim: Node is missing, so PostGraphile is left out: apt install nodejs npm"; \
	elif ! cmp -s bench/package-lock.json bench/node_modules/installed.json; then \
	  npm ci --prefix bench --ignore-scripts --no-fund --no-audit --loglevel=error \
	    && cp bench/package-lock.json bench/node_modules/installed.json \
	    || echo "munim: npm could not install PostGraphile, so it is left out"; fi
	@PYTHONPATH=. $(PY) bench/engine.py $(ARGS)

.PHONY: bench-refusals
bench-refusals: .installed-for-test ## measure what the engine spends on each abuse that it refuses
	@PYTHONPATH=.:tests $(PY) -m bench.refusals

DJSTRIPE := .sandbox/bench/djstripe
.PHONY: bench-webhooks
bench-webhooks: .installed-for-test ## measure webhooks beside dj-stripe; ARGS=--quick takes a minute
	@if ! cmp -s bench/djstripe/requirements.txt $(DJSTRIPE)/installed.txt; then \
	  mkdir -p .sandbox/bench && $(PY) -m venv --clear $(DJSTRIPE) \
	    && $(DJSTRIPE)/bin/python -m pip install --quiet --disable-pip-version-check \
	      -r bench/djstripe/requirements.txt \
	    && cp bench/djstripe/requirements.txt $(DJSTRIPE)/installed.txt \
	    || echo "munim: pip could not install dj-stripe, so it is left out"; fi
	@PYTHONPATH=. $(PY) bench/webhooks.py $(ARGS)

.PHONY: bench-autopay
bench-autopay: .installed-for-test ## charge 10,000 mandates that are due; ARGS=--quick takes a minute
	@PYTHONPATH=. $(PY) bench/autopay.py $(ARGS)

.PHONY: year
year: .installed-for-test ## charge 1,000 customers for a year by the clock; ARGS=--quick is 62
	@PYTHONPATH=. $(PY) bench/year.py $(ARGS)

# No registry's address goes into the files, so that they install from anywhere.
LOCK = $(PY) -m uv pip compile --quiet pyproject.toml --universal --python-version 3.11 \
	--no-emit-index-url --no-header
.PHONY: lock
lock: .installed-for-test ## resolve pyproject.toml into requirements*.txt again
	@$(LOCK) -o requirements.txt
	@$(LOCK) --extra sandbox -c requirements.txt -o requirements-sandbox.txt
	@$(LOCK) --extra sandbox --extra dev -c requirements-sandbox.txt -o requirements-dev.txt
	@echo "wrote requirements.txt requirements-sandbox.txt requirements-dev.txt"

# Quick when there is nothing to do: the environment remembers what was installed into it.
.PHONY: .installed-for-run .installed-for-test
.installed-for-run:
	$(INSTALL) run
.installed-for-test:
	$(INSTALL) test
