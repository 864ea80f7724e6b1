# `make demo` and `make test` work as the first command on a machine with python3 and make.
PYTHON ?= python3
BIN := .venv/bin
TOOLS := pytest pytest-xdist hypothesis array-api-strict

.PHONY: demo test test-newest test-oldest torture lint types audit bench docs figures notebooks clean

demo: .venv/.installed
	$(BIN)/dagame demo --out demo-out

test: .venv/.installed
	$(BIN)/pytest -n 2

# The tests that touch a dependency (tests/dependencies.py), the self-checks and a short demo, at the
# newest versions that pip finds today, and at the oldest that are allowed; each in its own environment.
# torch stays at the version of the constraints in both.
test-newest: .venv-newest/.made
	grep '^torch==' dagame/constraints.txt > .venv-newest/torch.txt
	.venv-newest/bin/python -m pip install --quiet --upgrade --upgrade-strategy eager --constraint .venv-newest/torch.txt --editable '.[lm]' $(TOOLS)
	$(call depend,.venv-newest)

test-oldest: .venv-oldest/.installed
	$(call depend,.venv-oldest)

define depend
	$(1)/bin/dagame doctor
	$(1)/bin/pytest -n 2 -m dependency $$($(1)/bin/python tests/dependencies.py)
	$(1)/bin/dagame demo --steps 20 --problems 12 --out $(1)/demo --json $(1)/demo.json
	$(1)/bin/python .ci/gain.py $(1)/demo.json
endef

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
	rm -rf .venv .venv-newest .venv-oldest demo-out

.venv/.installed: pyproject.toml dagame/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint dagame/constraints.txt --editable '.[dev]'
	touch $@

.venv-newest/.made:
	$(PYTHON) -m venv .venv-newest
	touch $@

.venv-oldest/.installed: pyproject.toml dagame/constraints-oldest.txt
	$(PYTHON) -m venv --clear .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet --constraint dagame/constraints-oldest.txt --editable '.[lm]' $(TOOLS)
	touch $@
