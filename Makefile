# Everything a person or CI calls. `make` alone lists it.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
export FORECASTER_HOME ?= $(CURDIR)/.forecaster

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

venv: $(VENV)/.done  ## the environment, from pinned versions

# torch first and pinned: with an open range pip would fetch gigabytes of CUDA.
$(VENV)/.done: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, this is %d.%d; type: make venv PYTHON=python3.11" % sys.version_info[:2])'
	@echo "making $(VENV): some minutes, 3 GB"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

demo: venv  ## the main job, offline, on real prices
	$(BIN)/forecaster demo

serve: venv  ## the service on http://127.0.0.1:8000
	$(BIN)/forecaster serve

fmt: venv  ## format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

check: venv  ## style, types, import law
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Whoever replaces a worker of pytest that died may wait for ever: it is a failure and the end. A test that hangs says
# where, and is one, too.
PYTEST := $(BIN)/pytest -n 2 --max-worker-restart 0 -o faulthandler_timeout=900 -o faulthandler_exit_on_timeout=true

test: check docs  ## everything that must hold on every landing
	$(PYTEST) --dist loadfile -m "not slow"

proof: venv  ## every command of docs/evidence.md
	$(BIN)/python scripts/proof.py

docs: venv  ## the site in site/, links checked, warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

docs-check: docs  ## what a reader would type, on every page and in every example, and what it prints
	$(PYTEST) tests/test_docs.py tests/test_blocks.py tests/test_pages.py tests/test_half_hour.py tests/test_examples.py

pages: venv  ## run what the pages (or PAGES=...) tell to type, and put into them what it printed and drew
	$(BIN)/python scripts/pages.py $(PAGES)

reference: venv  ## docs/reference.md and the map of the rooms out of the code
	$(BIN)/python scripts/reference.py
	$(BIN)/python scripts/rooms.py

readme: venv  ## put what the demo prints and draws into README.md
	$(BIN)/python scripts/readme.py

clean:  ## all that was built or run here
	rm -rf $(VENV) .forecaster site .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis

.PHONY: help venv demo serve fmt check test proof docs docs-check pages reference readme clean
