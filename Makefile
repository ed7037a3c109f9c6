# Each target sets up what it needs in .venv, once: all it takes is Python 3.11 or newer with pip.
#
#   make demo      a pipeline that shows what coord is for            ARGS="--url auto"
#   make test      all tests, on every engine                         ARGS="-k once"
#   make lint      ruff, mypy, pyright
#   make bench     coord beside its peers                             ARGS="--url redis://localhost:6379"
#   make clean     remove .venv and everything that was built

PYTHON ?= $(shell for each in python3 python3.14 python3.13 python3.12 python3.11; do \
	command -v $$each >/dev/null && $$each -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	&& echo $$each && break; done)
BIN := .venv/bin
ARGS ?=

.PHONY: demo test lint bench clean
.DELETE_ON_ERROR:

demo: .venv/.has-try
	$(BIN)/python -m examples.pipeline $(ARGS)

test: .venv/.has-lint
	$(BIN)/python -m pytest $(ARGS)

lint: .venv/.has-lint
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy --strict coord
	$(BIN)/pyright --pythonpath $(BIN)/python coord

bench: .venv/.has-bench
	$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv dist build .hypothesis .pytest_cache .mypy_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# One stamp for each extra that was installed; pyproject.toml says what is in it.
.venv/.has-%: pyproject.toml | $(BIN)/python
	@echo "installing coord[$*] into .venv"
	@if [ -x $(BIN)/pip ]; then $(BIN)/python -m pip install --quiet -e '.[$*]'; \
	else $(PYTHON) -m pip --python $(BIN)/python install --quiet -e '.[$*]'; fi
	@touch $@

# Some systems ship a Python whose venv cannot bring pip along; its own pip then installs from outside.
$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "coord needs Python 3.11 or newer: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "coord needs Python 3.11 or newer, not " + sys.version)'
	@$(PYTHON) -m venv .venv >/dev/null 2>&1 || $(PYTHON) -m venv --clear --without-pip .venv
