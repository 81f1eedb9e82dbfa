# manifold_gen: two commands on a fresh machine.
#   make quickstart   install into .venv, fit the flow to the bundled protein angles, write runs/quickstart/
#   make test         install into .venv, run the whole test suite

PYTHON ?= python3
VENV := .venv
PIP := $(VENV)/bin/pip
RUN := $(VENV)/bin/python
JOBS ?= 2

# One thread a process: two pytest workers on two cores, and results that do not depend on the core count.
TEST_ENV := OMP_NUM_THREADS=1 MPLBACKEND=Agg

.PHONY: quickstart test docs bench lint format clean help
.DELETE_ON_ERROR:

help:
	@echo "make quickstart   set up .venv, run the main job on real data, write runs/quickstart/ (3 minutes after the install)"
	@echo "make test         set up .venv, run the whole test suite (12 minutes on 2 cores)"
	@echo "make docs         build the documentation into docs/_build/html"
	@echo "make bench        measure speed on one thread, write experiments/bench_*.json"
	@echo "make lint         ruff check and ruff format --check"
	@echo "make clean        remove .venv, build products and caches (runs/ stays)"

# Each stamp says that one set of extras is installed; it is renewed when the requirements change.
$(VENV)/.made:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "manifold_gen needs Python 3.11 or newer, '$(PYTHON)' is not that." >&2; \
	  echo "Name another one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.torch: constraints.txt | $(VENV)/.made
	$(PIP) install --quiet --constraint constraints.txt torch==2.13.0
	@touch $@

$(VENV)/.plot: pyproject.toml setup.py constraints.txt $(VENV)/.torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[plot]'
	@touch $@

$(VENV)/.test: pyproject.toml setup.py constraints.txt $(VENV)/.torch
	$(PIP) install --quiet --constraint constraints.txt --editable '.[test,docs]'
	@touch $@ $(VENV)/.plot

quickstart: $(VENV)/.plot
	$(RUN) experiments/quickstart.py --out runs/quickstart

test: $(VENV)/.test
	$(TEST_ENV) $(RUN) -m pytest -n $(JOBS) --dist worksteal $(PYTEST_ARGS)

docs: $(VENV)/.test
	$(TEST_ENV) $(RUN) -m sphinx -W -q -b html docs docs/_build/html

bench: $(VENV)/.test
	OMP_NUM_THREADS=1 $(RUN) experiments/bench_speed.py --out experiments/bench_speed.json
	OMP_NUM_THREADS=1 $(RUN) experiments/bench_rivals.py --out experiments/bench_rivals.json
	OMP_NUM_THREADS=1 $(RUN) experiments/bench_molecules.py --out experiments/bench_molecules.json

lint: $(VENV)/.test
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .

format: $(VENV)/.test
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info docs/_build .pytest_cache .ruff_cache .hypothesis
