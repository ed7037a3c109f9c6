# Each target sets up what it needs, once: all it takes is Python 3.11 or newer with pip.
#
#   make quick         what to run while writing: memory and one server    ARGS="-k once"
#   make test          the tests, on every engine, in parallel             ARGS="-k once"
#   make proof         short forms of the proofs: simulated worlds, planted faults, races, storms, torture
#   make test-long     tests and proofs, with many more histories and faults
#   make quick-all     the quick tests on every Python that is found
#   make test-clients  tests of the transport on the oldest redis-py, with uvloop, eager tasks and gevent
#   make test-peers    tests of other libraries, over the drivers in examples/    ARGS="--peer tooz"
#   make coverage      branches of coord/ and statements of lua/ that the quick tests reach
#   make agree         scripts and twins, in new random histories           SEED=1234 ONLY=claim
#   make simulate      every family in simulated worlds, faults included   SEEDS=100000
#   make torture       every family on real servers under real faults       OPERATIONS=300000
#   make mutants       faults planted by rule: which of them the tests find  ARGS="--sites 800"
#   make fuzz          inputs of every kind, broken in places               ARGS="--inputs 1000000"
#   make imports       draw docs/imports.txt, the picture of who imports whom
#   make lint          ruff, mypy, pyright
#   make bench         coord beside its peers                              ARGS="--url redis://localhost:6379"
#   make demo          a pipeline that shows what coord is for             ARGS="--url auto"
#   make clean         remove the environments and everything that was built

PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$each >/dev/null && $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$each && break; done)
VENV ?= .venv
BIN := $(VENV)/bin
CORES := $(shell getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)
# Most tests wait more than they compute, so that two a core go well together.
JOBS ?= $(shell expr 2 \* $(CORES))
# Quick tests wait less, and each process would import the folders that have none.
QUICK_JOBS ?= $(shell expr $(CORES) + $(CORES) / 2)
SLOW := cluster faults torture
ARGS ?=
export PYTHONHASHSEED ?= 0
# Tests start hundreds of Pythons: each would compile coord, and what it imports, anew.
unexport PYTHONDONTWRITEBYTECODE

# tests/distribution.py says which tests stay together, and which come first.
PYTEST = $(BIN)/python -m pytest -q -n $(JOBS) --no-loadscope-reorder --max-worker-restart 2

.PHONY: quick test proof test-long quick-all quick-others test-clients on-clients on-gevent test-peers on-peers coverage agree simulate torture mutants fuzz imports lint bench demo clean
.DELETE_ON_ERROR:

quick: JOBS = $(QUICK_JOBS)
quick: $(VENV)/.has-test
	COORD_ENGINES=$${COORD_ENGINES:-memory,redis-8.2} COORD_HISTORIES=$${COORD_HISTORIES:-25} \
	$(PYTEST) -o faulthandler_timeout=0 -m "not slow and not proof" $(addprefix --ignore=tests/,$(SLOW)) $(ARGS)

test: $(VENV)/.has-lint
	COORD_HISTORIES=$${COORD_HISTORIES:-1000} $(PYTEST) -m "not proof" $(ARGS)

proof: $(VENV)/.has-lint
	COORD_HISTORIES=$${COORD_HISTORIES:-1000} $(PYTEST) -m proof $(ARGS)

test-long: $(VENV)/.has-lint
	COORD_LONG=1 COORD_HISTORIES=$${COORD_HISTORIES:-20000} $(PYTEST) $(ARGS)

quick-all: quick quick-others

# On every Python but that of $(VENV), where all tests run.
quick-others:
	@own=$$($(PYTHON) -c 'import sys; print("%d.%d" % sys.version_info[:2])'); \
	.ci/pythons | while read -r version python; do \
		if [ "$$version" = "$$own" ]; then continue; fi; \
		if [ -z "$$python" ]; then echo "=== Python $$version was not found: nothing ran on it"; continue; fi; \
		COORD_HISTORIES=$${COORD_HISTORIES:-25} .ci/timed "quick on Python $$version" \
		$(MAKE) --no-print-directory quick PYTHON=$$python VENV=.venvs/$$version || exit 1; \
	done

# What depends on redis-py, on the event loop and on gevent: a selection, since `make test` runs all on the newest redis-py.
CLIENTS := tests/test_config.py tests/test_hold.py tests/test_subscriptions.py tests/test_sentinel.py tests/test_tls.py \
	tests/cluster/test_cluster_connecting.py tests/faults/test_stale_connections.py tests/faults/test_refusals.py
LOOPS := tests/test_hold.py tests/test_hold_renewal.py tests/test_subscriptions.py tests/test_tls.py tests/test_waiting.py \
	tests/cluster/test_cluster_connecting.py \
	tests/cluster/test_cluster_changes.py::test_the_topology_is_asked_for_again_after_a_refresh_that_ended_at_once \
	tests/faults/test_stale_connections.py tests/faults/test_cancellation.py tests/faults/test_pressure.py
BLOCKING := tests/test_hold.py tests/test_hold_renewal.py tests/test_hold_interrupted.py tests/test_hold_loss.py \
	tests/test_waiting.py tests/test_barrier_waits.py tests/test_subscriptions.py \
	tests/faults/test_stale_connections.py tests/faults/test_bounded_waits.py
# Which of them: those of event loops; none that takes long and tests no client, as loads and other processes do.
AWAITED := awaited or task or eager or cancel
LONG := load or process or ten_thousand or gives_up or killed
ON_CLIENTS = $(MAKE) --no-print-directory on-clients

test-clients: export COORD_ENGINES ?= memory,redis-8.2
test-clients:
	@.ci/timed "redis-py 5.1" $(ON_CLIENTS) VENV=.venvs/oldest GROUP=oldest ON="$(CLIENTS)" WHICH="not gevent"
	@COORD_LOOP=uvloop .ci/timed "uvloop" $(ON_CLIENTS) VENV=.venvs/loops GROUP=loops ON="$(LOOPS)" WHICH="$(AWAITED)"
	@.ci/pythons | awk 'NF > 1 && $$1 != "3.11"' | tail -n 1 | { \
		if read -r version python; then \
			COORD_LOOP=eager .ci/timed "eager tasks on Python $$version" \
			$(ON_CLIENTS) PYTHON=$$python VENV=.venvs/$$version GROUP=clients ON="$(LOOPS)" WHICH="$(AWAITED)"; \
		else echo "=== Python 3.12 or newer was not found: nothing ran with eager tasks"; fi; }
	@.ci/timed "gevent" $(MAKE) --no-print-directory on-gevent VENV=.venvs/loops

on-clients: $(VENV)/.has-$(GROUP)
	$(PYTEST) $(ON) -k "($(WHICH)) and not ($(LONG))" $(ARGS)

# In one process: those of pytest-xdist would not be patched. The proxy of `another_connection` has an event loop, and one
# thread has one: under gevent it is that of coord's background.
on-gevent: $(VENV)/.has-loops
	$(BIN)/python -m gevent.monkey --module pytest -q \
	-k "(blocking or gevent or while_a_block_runs or is_a_loss_when) and not (another_connection or $(LONG))" $(BLOCKING) $(ARGS)

test-peers:
	@.ci/timed "tests of peers" $(MAKE) --no-print-directory on-peers VENV=.venvs/peers

on-peers: $(VENV)/.has-peers
	$(BIN)/python tests/peers $(ARGS)

coverage: $(VENV)/.has-coverage
	COORD_ENGINES=memory,redis-8.2 COORD_HISTORIES=200 \
	$(BIN)/python -m coverage run -m pytest -q -n $(JOBS) --no-loadscope-reorder -m "not slow" $(ARGS)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report
	$(BIN)/python -m pytest -q tests/test_lua_lines.py

# New histories on every backend; SEED=... repeats those of a failure, ONLY="claim bump" are those of some scripts.
SEED ?= random
agree: $(VENV)/.has-test
	COORD_SEED=$(SEED) COORD_ONLY="$(ONLY)" COORD_HISTORIES=$${COORD_HISTORIES:-10000} $(PYTEST) tests/test_agreement.py $(ARGS)

SEEDS ?= 3000
simulate: $(VENV)/.has-test
	$(BIN)/python tests/sim --seeds $(SEEDS) $(ARGS)

OPERATIONS ?= 1000000
torture: $(VENV)/.has-test
	$(BIN)/python tests/torture --operations $(OPERATIONS) $(ARGS)

mutants: $(VENV)/.reached
	COORD_REACHED=$(VENV)/.reached $(BIN)/python tests/mutants $(ARGS)

# Which tests call which functions: faults in plans and transport are looked for by these. Slow tests are not among them.
$(VENV)/.reached: $(VENV)/.has-test
	rm -f $@*
	COORD_REACHED=$@ COORD_ENGINES=memory,redis-8.2 PYTHONPATH=tests \
	$(PYTEST) -p mutants.reached -p no:cacheprovider -m "not slow and not proof" || true
	touch $@

fuzz: $(VENV)/.has-test
	$(BIN)/python tests/fuzz $(ARGS)

imports: $(VENV)/.has-test
	$(BIN)/python tests/structure/picture.py

lint: $(VENV)/.has-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict coord
	$(BIN)/mypy --strict --explicit-package-bases examples benchmarks
	$(BIN)/mypy --config-file tests/mypy.ini tests
	$(BIN)/pyright --pythonpath $(BIN)/python coord

bench: $(VENV)/.has-bench
	$(BIN)/python -m benchmarks $(ARGS)

demo: $(VENV)/.has-demo
	$(BIN)/python -m examples.pipeline $(ARGS)

clean:
	rm -rf .venv .venvs dist build .hypothesis .pytest_cache .mypy_cache .ruff_cache .coverage*
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each dependency group that was installed; pyproject.toml says what is in it.
$(VENV)/.has-%: pyproject.toml | $(VENV)/.has-pip
	@echo "installing what '$*' needs into $(VENV)"
	@$(BIN)/python -m pip install --quiet -e . --group $*
	@touch $@

# Dependency groups came with pip 25.1. Some systems ship a Python whose venv cannot bring pip along: its own pip then
# installs the newer one from outside.
$(VENV)/.has-pip:
	@test -n "$(PYTHON)" || { echo "coord needs Python 3.11 or newer: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "coord needs Python 3.11 or newer, not " + sys.version)'
	@$(PYTHON) -m venv $(VENV) >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip $(VENV)
	@if [ -x $(BIN)/pip ]; then $(BIN)/python -m pip install --quiet --upgrade 'pip>=25.1'; \
	else $(PYTHON) -m pip --python $(BIN)/python install --quiet 'pip>=25.1'; fi
	@touch $@
