# `make demo` and `make test` need Python 3.11 or newer and nothing else.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/pip install -c requirements.lock
LOCK = $(BIN)/uv pip compile --quiet --upgrade --universal --python-version 3.11 \
	--fork-strategy fewest --no-annotate --custom-compile-command "make lock" pyproject.toml

.PHONY: demo test check docs format lock test-lowest wheel clean

demo: $(VENV)/.demo
	$(BIN)/python -m app

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadfile

check: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going -b html docs docs/_build/html

# The newest versions that pyproject.toml allows; requirements.txt has the direct ones, for Spaces.
lock: | $(BIN)/python
	$(BIN)/pip install --quiet uv
	$(LOCK) --all-extras --output-file requirements.lock
	$(LOCK) --extra app --extra eval --no-deps --constraints requirements.lock \
	  --output-file requirements.txt

# The tests with the lowest versions that pyproject.toml allows, in a virtual environment of their own.
test-lowest: VENV := .venv-lowest
test-lowest:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	$(BIN)/uv pip compile --quiet --all-extras --resolution lowest-direct pyproject.toml \
	  --output-file $(VENV)/lowest.txt
	$(BIN)/pip install -c $(VENV)/lowest.txt -e ".[test]"
	$(BIN)/python -m pytest -n auto --dist loadfile

wheel: | $(BIN)/python
	$(BIN)/pip wheel --no-deps --wheel-dir dist .

$(BIN)/python:
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11))" \
	  || { echo "Python 3.11 or newer is needed; name one with PYTHON=..."; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml requirements.lock | $(BIN)/python
	$(PIP) -e ".[app]"
	@touch $@

$(VENV)/.test: pyproject.toml requirements.lock | $(BIN)/python
	$(PIP) -e ".[test]"
	@touch $(VENV)/.demo $@

$(VENV)/.dev: pyproject.toml requirements.lock | $(BIN)/python
	$(PIP) -e ".[dev]"
	@touch $(VENV)/.demo $(VENV)/.test $@

$(VENV)/.docs: pyproject.toml requirements.lock | $(BIN)/python
	$(PIP) -e ".[docs]"
	@touch $@

clean:
	rm -rf $(VENV) .venv-lowest build dist *.egg-info docs/_build
