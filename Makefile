# Everything that a person or CI does with a checkout. Needs make and Python 3.11 or later, nothing else.
#
# Set-up is a consequence of the targets below: each `.venv/.NAME` stands for "requirements/NAME.txt is
# installed" and is remade when that file or pyproject.toml changes. A second call does no set-up.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check
COMPILE := uv pip compile pyproject.toml --no-config --quiet --universal --python-version 3.11 \
	--generate-hashes --custom-compile-command 'make lock' $(UPGRADE)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help serve train artifacts report docs test quick lint format lock upgrade clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(VENV)/.serve ## start the service on port 8000 (SERVICE_PORT=... for another)
	@exec $(BIN)/serve $(ARGS)

train: $(VENV)/.train ## train both models and publish them to ./store (ARGS="..." for other options)
	@exec $(BIN)/train all $(ARGS)

artifacts: $(VENV)/.train ## train the models that the repository carries, in models/artifacts
	@rm -rf build/artifacts
	@$(BIN)/train all --store build/artifacts
	@for model in $$(ls build/artifacts); do \
		mkdir -p models/artifacts/$$model; \
		cp build/artifacts/$$model/"$$(head -n 1 build/artifacts/$$model/current)"/* models/artifacts/$$model/; \
	done

report: $(VENV)/.train ## write a report on each model to ./reports
	@exec $(BIN)/train report $(ARGS)

docs: $(VENV)/.docs ## build the documentation into ./site (open site/index.html)
	@exec $(BIN)/sphinx-build --quiet --nitpicky --fail-on-warning --keep-going docs site

test: $(VENV)/.dev ## run the whole test suite (ARGS="-k bundle" for a part)
	@exec $(BIN)/python -m pytest $(ARGS)

quick: $(VENV)/.dev ## run the tests that take seconds and need nothing but Python
	@exec $(BIN)/python -m pytest -m "not slow and not docker and not browser and not kubectl" $(ARGS)

lint: $(VENV)/.dev ## ruff, mypy and the import contracts
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff mend and format the code
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

lock: ## remake requirements/*.txt from pyproject.toml, keeping versions that still fit (needs uv)
	@command -v uv > /dev/null || { echo "make lock: uv is missing; install it with: pip install uv" >&2; exit 1; }
	$(COMPILE) --all-extras --group dev --output-file requirements/dev.txt
	$(COMPILE) --extra train --extra score --extra dask --constraints requirements/dev.txt --output-file requirements/score.txt
	$(COMPILE) --extra train --constraints requirements/dev.txt --output-file requirements/train.txt
	$(COMPILE) --constraints requirements/dev.txt --output-file requirements/serve.txt
	for group in build docs; do $(subst pyproject.toml,,$(COMPILE)) --group $$group \
		--constraints requirements/dev.txt --output-file requirements/$$group.txt || exit 1; done

upgrade: UPGRADE := --upgrade
upgrade: lock ## remake requirements/*.txt with the newest versions that pyproject.toml admits (needs uv)

clean: ## remove .venv and every cache; ./store and ./reports stay
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist site
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# --no-deps: the lock files are complete, so there is nothing to resolve. --no-compile: Python compiles
# what is imported when it first is, a small part of what is installed.
$(VENV)/.%: requirements/%.txt requirements/build.txt pyproject.toml | $(BIN)/python
	@echo "make: installing $< into $(VENV)"
	@$(PIP) install --no-compile --no-deps --require-hashes -r requirements/build.txt -r $<
	@$(PIP) install --no-compile --no-deps --no-build-isolation --editable .
	@touch $@

$(BIN)/python:
	@command -v $(PYTHON) > /dev/null || { \
		echo "make: there is no '$(PYTHON)'; install Python 3.11 or later, or say which: make PYTHON=/path/to/python3" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $(PYTHON) is $$($(PYTHON) -V 2>&1); Python 3.11 or later is needed: make PYTHON=python3.11" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2> /dev/null || { \
		echo "make: $(PYTHON) has no venv module; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
