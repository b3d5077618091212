.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# The engine is compiled once, from source, for this machine's CPU: about four minutes on two cores.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --require-hashes --requirement constraints.txt
	$(BIN)/python -m pip install --no-deps --no-build-isolation --editable .
	touch $(STAMP)

.PHONY: install  ## make the virtual environment in .venv and install everything
install: $(STAMP)

.PHONY: demo  ## build a ladder of SmolLM2-135M, evaluate it, print the table and write the reports
demo: $(STAMP)
	$(BIN)/edgeeval fetch smollm2-135m
	$(BIN)/edgeeval eval smollm2-135m --suite quick

.PHONY: test  ## everything that must hold: the checks below, then pytest on the real model
test: check
	$(BIN)/edgeeval fetch smollm2-135m
	$(BIN)/python -m pytest

# llama.cpp's own tools, from the source archive of the installed engine: the tests hold levels and
# imatrices against them, and skip that where they are not built.
NATIVE := .edgeeval/native
$(NATIVE)/bin/llama-imatrix: | $(STAMP)
	rm -rf $(NATIVE) && mkdir -p $(NATIVE)/source
	$(BIN)/python -m pip download --quiet --no-deps --no-binary llama-cpp-python --dest $(NATIVE) \
		"llama-cpp-python==$$($(BIN)/python -c 'from importlib.metadata import version; print(version("llama-cpp-python"))')"
	tar --extract --gzip --file $(NATIVE)/llama_cpp_python-*.tar.gz --directory $(NATIVE)/source --strip-components 1
	cmake -S $(NATIVE)/source/vendor/llama.cpp -B $(NATIVE) -DCMAKE_BUILD_TYPE=Release -DLLAMA_CURL=OFF \
		-DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_MTMD=OFF
	cmake --build $(NATIVE) --parallel --target llama-quantize llama-imatrix llama-gguf-split llama-perplexity llama-bench

.PHONY: oracles  ## build llama.cpp's own tools, for the tests and benchmarks that compare with them
oracles: $(NATIVE)/bin/llama-imatrix

.PHONY: converter  ## get what converts Hugging Face models, for the tests that convert one
converter: $(STAMP)
	$(BIN)/edgeeval fetch --converter

.PHONY: check  ## ruff, mypy --strict, import-linter
check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: format  ## let ruff format and mend what it can
format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

.PHONY: constraints  ## pin the newest releases that pyproject.toml allows, with hashes
constraints: $(STAMP)
	$(BIN)/python -m pip install --quiet uv
	$(BIN)/uv pip compile pyproject.toml --extra report --extra dev --universal \
		--python-version 3.11 --generate-hashes --no-header --no-annotate --upgrade \
		--output-file constraints.txt

.PHONY: clean  ## delete the workspace and caches; the virtual environment stays
clean:
	rm -rf .edgeeval .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist

.PHONY: help  ## this list
help:
	@grep -E '^\.PHONY: .*##' $(MAKEFILE_LIST) | sed -E 's/^\.PHONY: ([a-z-]+) +## (.*)/\1\t\2/' | expand -t 14
