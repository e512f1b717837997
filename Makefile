.PHONY: demo docs leaderboard test test-slow test-gpu test-conformance quality style clean

PYTHON ?= python3
# The torch that the tests run on; any other that satisfies pyproject.toml: make test TORCH=torch==2.8.0
TORCH ?= torch==2.13.0
VENV ?= .venv
BIN := $(VENV)/bin

$(VENV)/bench: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[bench]"
	touch $@

$(VENV)/dev: $(VENV)/bench
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[bench,quant,dev]"
	touch $@

demo: $(VENV)/bench  ## train and rank five methods on the embedded task and model
	$(BIN)/peft-bottleneck run configs/quickstart.yaml

$(VENV)/docs: $(VENV)/bench
	$(BIN)/pip install --quiet --disable-pip-version-check --editable ".[bench,docs]"
	touch $@

docs: $(VENV)/docs  ## the site, into site/: warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

leaderboard: $(VENV)/bench  ## results/ and all pages that quote it, from the records there; FROM=DIR copies them first
	$(BIN)/python tools/leaderboard.py $(if $(FROM),--from $(FROM))

test: $(VENV)/dev  ## everything that runs in minutes
	$(BIN)/python -m pytest -m "not slow and not conformance" --numprocesses auto --dist loadfile

test-slow: $(VENV)/dev
	$(BIN)/python -m pytest -m slow

test-gpu: $(VENV)/dev  ## what a CUDA device is needed for
	$(BIN)/python -m pytest --gpu tests/gpu

test-conformance: $(VENV)/dev  ## PEFT's own test suites, with our methods in the place of PEFT's
	$(BIN)/python -m pytest -m conformance

quality: $(VENV)/dev  ## what CI asks of the code
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

style: $(VENV)/dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist site .pytest_cache .mypy_cache .ruff_cache
