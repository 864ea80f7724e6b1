# `make demo` and `make test` work as the first command on a machine with python3 and make.
PYTHON ?= python3
BIN := .venv/bin
EXTRAS := '.[lm,endpoint,asp,fast]'
TOOLS := pytest pytest-xdist hypothesis array-api-strict fastapi uvicorn
# How many processes run tests; 0: that of pytest itself, where `make -j2` keeps both cores busy.
WORKERS ?= 2

.PHONY: demo doctor test shapes newest oldest test-newest test-oldest torture lint types audit bench smollm2 docs figures notebooks clean

demo: .venv/.installed
	$(BIN)/dagame demo --out demo-out

doctor: .venv/.installed
	$(BIN)/dagame doctor

test: .venv/.installed
	$(BIN)/pytest -n $(WORKERS) --dist worksteal

# The shapes that stand in signatures, checked at every call.
shapes: .venv/.installed
	$(BIN)/pytest -n $(WORKERS) --shapes $(addprefix tests/objectives/test_,facts.py identities.py objectives.py rows.py) tests/games

# The tests that touch a dependency (tests/dependencies.py), the self-checks and a short demo, at the
# newest versions that are found today, and at the oldest that are allowed, each in an environment of its own
# but for torch, which is that of .venv. So are the caches: kernels of one numba are none for another.
test-newest test-oldest: export NUMBA_CACHE_DIR = $(CURDIR)/.venv-$*/numba
test-newest test-oldest: test-%: %
	.venv-$*/bin/dagame doctor
	.venv-$*/bin/python -m pytest -n $(WORKERS) --dist worksteal -o cache_dir=.venv-$*/pytest -m dependency \
		$$(.venv-$*/bin/python tests/dependencies.py)
	.venv-$*/bin/dagame demo --steps 8 --problems 12 --out .venv-$*/demo --json .venv-$*/demo.json
	.venv-$*/bin/python .ci/gain.py .venv-$*/demo.json

# Made anew each time, so that "newest" is today's: seconds, as uv links files from its cache.
newest: .venv/.installed
	grep '^torch==' dagame/constraints.txt > .venv/torch.txt
	$(call other,.venv-newest,.venv/torch.txt)

oldest: .venv/.installed
	$(call other,.venv-oldest,dagame/constraints-oldest.txt)

define other
	rm -rf $(1)
	$(PYTHON) -m venv $(1)
	$(1)/bin/python .ci/share_torch.py .venv
	$(call install,$(1),$(2),$(EXTRAS) $(TOOLS))
endef

# uv needs seconds where pip needs minutes; where uv finds no index (its settings are its own), pip does it.
install = $(BIN)/uv pip install --quiet --python $(1)/bin/python --constraint $(2) --editable $(3) \
	|| $(1)/bin/python -m pip install --quiet --no-compile --constraint $(2) --editable $(3)

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
	for name in equivalence scaling solvers roof estimators lm; do OMP_NUM_THREADS=1 $(BIN)/dagame-bench $$name || exit 1; done

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

# torch by pip, whose settings say where the build for this machine lies.
.venv/.installed: pyproject.toml dagame/constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --constraint dagame/constraints.txt --no-deps uv torch
	$(call install,.venv,dagame/constraints.txt,'.[dev]')
	touch $@
