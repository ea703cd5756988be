# Everything runs in a virtual environment of its own; `make` alone says what there is.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
FETCH_KAFKA := $(BIN)/python -c 'from detector.broker.local import fetch; fetch()'
FETCH_HELM := $(BIN)/python -m helm.tool

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-fast bench rehearsal kafka model weekly chart lint format clean

help: ## what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "wanted Python 3.11 or newer (got %s): make PYTHON=python3.12" % sys.version.split()[0])'
	@echo "installing into $(VENV): pip says nothing until it is done"
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev,chart]'
	touch $@

venv: $(INSTALLED) ## install everything into .venv

demo: $(INSTALLED) ## a simulated day with fraud hidden in it, on a broker in memory
	$(BIN)/detector demo $(ARGS)

test: $(INSTALLED) ## every test, those on a real Kafka included (Java 17, Maven; Go for Helm)
	@if command -v java >/dev/null && command -v mvn >/dev/null; then $(FETCH_KAFKA); \
	else echo "java or mvn is missing: the tests on a real Kafka will be skipped"; fi
	@if command -v go >/dev/null; then $(FETCH_HELM) >/dev/null; \
	else echo "go is missing: the tests of the Helm chart will be skipped"; fi
	$(BIN)/pytest

test-fast: $(INSTALLED) ## the daily tests: no Java, nothing slow
	$(BIN)/pytest -q -m 'not kafka and not slow'

bench: $(INSTALLED) ## whether anything costs more than it did (Java 17, Maven); two minutes
	$(FETCH_KAFKA)
	$(BIN)/python -m loadtest bench $(ARGS)

rehearsal: $(INSTALLED) ## a worker lost, a budget tripped, a policy broken: which alerts fire (Java 17, Maven, apt-get); seven minutes
	$(FETCH_KAFKA)
	$(BIN)/python -m loadtest rehearsal $(ARGS)

kafka: $(INSTALLED) ## a local single-node Kafka at 127.0.0.1:9092, until Ctrl-C
	$(BIN)/python -m detector.broker.local

model: $(INSTALLED) ## the shipped bundle and its report again, bit for bit
	$(BIN)/detector model $(ARGS)

weekly: $(INSTALLED) ## the whole weekly loop of learning on two simulated weeks (Java 17, Maven)
	$(FETCH_KAFKA)
	$(BIN)/detector weekly $(ARGS)

chart: $(INSTALLED) ## put alerts, dashboards and the settings' schema into the Helm chart
	$(BIN)/python -m helm.copies

lint: $(INSTALLED) ## formatter, linter and types, changing nothing
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy --strict

format: $(INSTALLED) ## put every file into the house's format
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

clean: ## remove what was made, but not snapshots in var/
	rm -rf $(VENV) .kafka .helm .prometheus .mypy_cache .ruff_cache .pytest_cache .hypothesis *.egg-info
