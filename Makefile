# `make demo` and `make test` work as the first command on a machine with python3 and make.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test torture lint types audit bench docs figures notebooks clean

demo: .venv/.installed
	$(BIN)/dagame demo --out demo-out

test: .venv/.installed
	$(BIN)/pytest -n 2

# The cases of tests/torture, this many times as often as in `make test`, with fresh random seeds.
torture: .venv/.installed
	DAGAME_TORTURE=$${DAGAME_TORTURE:-30} $(BIN)/pytest -n 2 tests/torture

lint: .venv/.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.installed
	$(BIN)/pyright

audit: .venv/.installed
	$(BIN)/python .ci/audit.py

bench: .venv/.installed
	for name in equivalence scaling solvers estimators lm; do OMP_NUM_THREADS=1 $(BIN)/dagame-bench $$name || exit 1; done

docs: .venv/.installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

figures: .venv/.installed
	$(BIN)/python paper_figs/make_all.py

notebooks: .venv/.installed
	$(BIN)/python notebooks/make.py

clean:
	rm -rf .venv demo-out

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
