# make demo     sets everything up and runs the main job (ARGS="--exit --seed 7")
# make test     sets everything up and passes the tests (minutes; the rest has targets of its own)
# make check    formats are right, lint and types are clean
# make kafka    a real Kafka on 127.0.0.1:9092 until Ctrl-C (ARGS="--nodes 3 --data DIR --wipe")
# make cluster  Kafka, PostgreSQL and every role of docker-compose.yml until Ctrl-C, without containers
# make bench    every benchmark, one figure a line
# make soak     a cluster under kills, then a worker's memory (ARGS="--kills 60 --minutes 30")
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
# Tests run in several processes; a linear algebra that starts threads of its own only gets in their way.
export OPENBLAS_NUM_THREADS := 1

.PHONY: setup demo kafka cluster demo-seeds nightly test test-laws test-cluster test-crash test-slow test-stats test-torch test-all fuzz check format bench soak lock clean

# The lock names what CI uses; without network to spare, uv needs two seconds where pip needs twenty.
# Compiled at once: a worker that starts again must not spend a second on reading its libraries.
$(VENV)/.ready: pyproject.toml clients/python/pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Penstock needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=python3.12 ...")'
	@echo "setup: environment in $(VENV)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv || echo "setup: no uv, using pip"
	@echo "setup: packages"
	@if [ -x $(BIN)/uv ]; then \
	  $(BIN)/uv pip install --quiet --compile-bytecode --python $(BIN)/python -r requirements.lock -e clients/python -e '.[dev]'; \
	else \
	  $(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock -e clients/python -e '.[dev]'; \
	fi
	@touch $@
	@echo "setup: done"

setup: $(VENV)/.ready

demo: setup
	@$(BIN)/python -m penstock.demo $(ARGS)

# What takes too long for every change: the demo for twenty seeds, and on a cluster under fire.
nightly: demo-seeds
	@$(BIN)/python -m pytest -m nightly --timeout 1800 $(ARGS)

# The demo's story for twenty seeds, each of which has to end as it should.
demo-seeds: setup
	@for seed in $$(seq 1 20); do \
	  rm -rf .demo-seeds; \
	  $(BIN)/python -m penstock.demo --exit --seed $$seed --data .demo-seeds $(ARGS) >.demo-seeds.log 2>&1 \
	    || { cat .demo-seeds.log; exit 1; }; \
	  echo "seed $$seed: as told"; \
	done
	@rm -rf .demo-seeds .demo-seeds.log

# Kafka 4.3.1 and its data in a folder of its own; needs Java 17 and, once, Maven.
kafka: setup
	@exec $(BIN)/python -m deploy.kafka_local $(ARGS)

# The roles of docker-compose.yml as processes; needs Java 17 and PostgreSQL (ARGS="--workers 3").
cluster: setup
	@exec $(BIN)/python -m deploy.cluster_local $(ARGS)

# Three processes on two cores: each waits a third of its time.
test: setup
	@$(BIN)/python -m pytest -n 3 --dist loadscope $(ARGS)

# The laws that `make test` holds against some examples, against all of them.
test-laws: setup
	@HYPOTHESIS_PROFILE=wide $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 600 \
	  tests/streams/test_laws.py tests/streams/test_pipeline.py tests/streams/test_codec.py \
	  tests/rollout/test_collector.py tests/rollout/test_units.py tests/rollout/test_lint_any.py $(ARGS)

# The targets of one marker name the paths that have it: to read all tests takes each process 15 s.

# Kills processes of a running installation at random instants; what is killed leaves cores idle, so
# three at a time.
test-crash: setup
	@$(BIN)/python -m pytest -m crash -n 3 --dist worksteal --timeout 900 \
	  tests/crash tests/contracts/test_logs.py tests/penstock/test_following.py $(ARGS)

# A real Kafka broker, three of them at times.
test-cluster: setup
	@$(BIN)/python -m pytest -m 'cluster and not crash and not nightly' -n 2 --dist worksteal --timeout 900 \
	  tests/cluster tests/contracts $(ARGS)

# A gigabyte through `penstock send`, and what else takes minutes.
test-slow: setup
	@$(BIN)/python -m pytest -m slow -n 2 --dist worksteal --timeout 1200 \
	  tests/slow tests/stories tests/cli/test_rollout_looking.py tests/rollout/test_watching.py $(ARGS)

# Parity with torch, in an environment of its own: the packages take several gigabytes.
.venv-torch/.ready: $(VENV)/.ready
	@test -x .venv-torch/bin/python || $(PYTHON) -m venv .venv-torch
	@$(BIN)/uv pip install --quiet --compile-bytecode --python .venv-torch/bin/python -r requirements.lock -e clients/python -e '.[dev,torch]'
	@touch $@

test-torch: .venv-torch/.ready
	@.venv-torch/bin/python -m pytest -m torch tests/rollout $(ARGS)

# Error rates by simulation; nightly with ARGS='--replicates 4000'.
test-stats: setup
	@$(BIN)/python -m pytest -m stats -n 2 --timeout 3600 tests/stats $(ARGS)

test-all: test test-laws test-stats test-crash test-slow test-cluster

# The property tests with new examples, many of them.
fuzz: setup
	@HYPOTHESIS_PROFILE=fuzz $(BIN)/python -m pytest --timeout 1200 tests/streams tests/evidence tests/web $(ARGS)

check: setup
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

format: setup
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: setup
	@for name in pipeline ledger ingest log client cli evidence cluster engines latency policy; do $(BIN)/python -m benchmarks.$$name $(ARGS) || exit 1; done

# Three quarters of an hour: sixty kills and strikes on three brokers, half an hour of steady load.
soak: setup
	@$(BIN)/python -m benchmarks.soak $(ARGS)

lock:
	@$(BIN)/uv pip compile --quiet --no-header --no-emit-index-url --no-annotate --python-version 3.11 --universal \
	  --extra dev --no-emit-package penstock-client pyproject.toml -o requirements.lock

clean:
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis
