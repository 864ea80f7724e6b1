# `make demo` and `make test` work as the first command on a machine with python3 and make.
PYTHON ?= python3
BIN := .venv/bin
TOOLS := pytest pytest-xdist hypothesis array-api-strict fastapi uvicorn

.PHONY: demo test newest oldest test-newest test-oldest torture lint types audit bench smollm2 docs figures notebooks clean

demo: .venv/.installed
	$(BIN)/dagame demo --out demo-out

test: .venv/.installed
	$(BIN)/pytest -n 2

# The tests that touch a dependency (tests/dependencies.py), the self-checks and a short demo, at the
# newest versions that pip finds today, and at the oldest that are allowed, each in an environment of its own
# but for torch, which is that of .venv.
test-newest: newest
	$(MAKE) depend-newest

test-oldest: oldest
	$(MAKE) depend-oldest

depend-%: .venv-%/.installed
	.venv-$*/bin/dagame doctor
	.venv-$*/bin/python -m pytest -n 2 -m dependency $$(.venv-$*/bin/python tests/dependencies.py)
	.venv-$*/bin/dagame demo --steps 20 --problems 12 --out .venv-$*/demo --json .venv-$*/demo.json
	.venv-$*/bin/python .ci/gain.py .venv-$*/demo.json

newest: .venv/.installed
	$(call other,.venv-newest,grep '^torch==' dagame/constraints.txt,--upgrade --upgrade-strategy eager)

oldest: .venv/.installed
	$(call other,.venv-oldest,cat dagame/constraints-oldest.txt)

define other
	test -d $(1) || $(PYTHON) -m venv $(1)
	rm -f $(1)/.installed
	$(1)/bin/python .ci/share_torch.py .venv
	$(2) > $(1)/constraints.txt
	$(1)/bin/python -m pip install --quiet --no-compile --constraint $(1)/constraints.txt $(3) --editable '.[lm,endpoint]' $(TOOLS)
	touch $(1)/.installed
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

# A real pretrained model of 135 million parameters, into the user's cache; tests and benchmarks use it.
smollm2: .venv/.installed
	$(BIN)/python -m dagame.lm.models.smollm2

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
