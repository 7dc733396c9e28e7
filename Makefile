# `make help` lists the targets. Nothing has to be installed first: each target installs what it needs.
SHELL := /bin/sh
.DEFAULT_GOAL := help
# The tests start hundreds of processes: none of them should have to compile what another one has compiled before.
unexport PYTHONDONTWRITEBYTECODE
PYTHON := .venv/bin/python
UV := .venv/bin/uv
VENV := .venv/.installed

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# --- set-up -----------------------------------------------------------------------------------------------------------

engine: ## ensure a running Docker engine; an existing Docker is never changed
	@images/engine/ensure.sh

engine-remove: ## remove the engine that `make engine` installed (YES=1: with the data in it)
	@images/engine/remove.sh

venv: $(VENV) ## create the development environment in .venv

$(VENV): requirements/dev.txt images/venv.sh
	@images/venv.sh

requirements: $(VENV) ## pin every dependency of pyproject.toml with hashes (UPGRADE=1: take the newest)
	@for extra in bot orchestrator simulator; do $(COMPILE) --python-version 3.13 --extra $$extra --output-file requirements/$$extra.txt || exit 1; done
	@$(COMPILE) --python-version 3.11 --extra dev --output-file requirements/dev.txt
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	$(if $(UPGRADE),--upgrade) pyproject.toml

# --- images -----------------------------------------------------------------------------------------------------------
# PLATFORMS=linux/amd64,linux/arm64  both (default: this machine's, push: both)    IMAGES="bot postgres"  only these
# BASE_IMAGE=python:3.13-slim        instead of the package-built Python root      REFRESH=1  fetch packages anew
# REGISTRY=host:port/prefix TAG=…    where images-push pushes to

BUILDER = $(PYTHON) -m images.builder
BUILD_OPTIONS = $(if $(PLATFORMS),--platforms "$(PLATFORMS)") $(if $(IMAGES),--images "$(IMAGES)") \
	$(if $(BASE_IMAGE),--base-image "$(BASE_IMAGE)") $(if $(REFRESH),--refresh) $(if $(TAG),--tag "$(TAG)")

images: engine $(VENV) ## build the images into the engine
	@$(BUILDER) build $(BUILD_OPTIONS)

images-push: engine $(VENV) ## build for every platform and push to REGISTRY=host:port/prefix
	@$(BUILDER) push $(BUILD_OPTIONS) --registry "$(REGISTRY)"

images-check: engine $(VENV) ## build everything twice from nothing and compare the digests
	@$(BUILDER) check $(BUILD_OPTIONS)

test-images: engine $(VENV) ## what the images promise, for both platforms, pushed to a local registry too
	@images/registry.sh
	@$(BUILDER) build --platforms linux/amd64,linux/arm64 --tag test
	@BOTDOCK_TEST_TAG=test $(PYTHON) -m pytest -q tests/e2e/test_images.py tests/e2e/test_image_builds.py

test-arm64: engine $(VENV) ## run the arm64 bot image once, emulated
	@images/arm64.sh

# --- run it -----------------------------------------------------------------------------------------------------------
# BOTDOCK_PORT=8000 SIMULATOR_PORT=8090   ports on 127.0.0.1, where the usual ones are taken

demo: built ## everything with a simulated WhatsApp: three bots paired, each answers a message
	@$(PYTHON) -m tests.demo demo

up: built ## the same stack for real phones
	@$(PYTHON) -m tests.demo up

down: ## stop the stack and the bots; all data stays
	@python3 -m tests.demo down

clean: ## remove containers, volumes (databases and sessions too), networks and images of ours, and nothing else
	@python3 -m tests.demo clean

ps: ## the bot containers, as `docker ps` shows them
	@python3 -m tests.demo ps

built: engine $(VENV)
	@if [ -n "$(BOTDOCK_REGISTRY)" ]; then \
		echo "images: those of $(BOTDOCK_REGISTRY), nothing to build"; \
	elif images/built.sh check; then \
		echo "images: as they are, nothing they are made of has changed"; \
	else \
		images/built.sh begin && $(BUILDER) build $(BUILD_OPTIONS) && images/built.sh end; \
	fi

# --- prove it ---------------------------------------------------------------------------------------------------------

lint: $(VENV) ## style, types and import rules
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy orchestrator bot_runtime images tests
	@.venv/bin/lint-imports

# WORKERS=5   how many modules are tested at once; most tests wait for containers, hence more workers than cores
PARALLEL = --numprocesses $(or $(WORKERS),5) --dist loadfile --no-loadscope-reorder

test: engine $(VENV) ## everything: lint, then unit, integration and end-to-end tests on a real engine, with coverage
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line lint built
	@images/registry.sh
	@rm -f .coverage .coverage.*
	@$(PYTHON) -m pytest $(PARALLEL) --cov --cov-report=term:skip-covered tests/unit tests/integration tests/e2e

test-fast: $(VENV) ## the tests that need no Docker engine
	@$(PYTHON) -m pytest -q $(PARALLEL) -m "not docker" tests/unit tests/integration

chaos: lint built ## three minutes of traffic while everything is killed at random, then an account of every message
	@$(PYTHON) -m pytest -q -s tests/chaos

# BENCH="--only starts --sizes 20 --quick"   only a part, and without writing the page
bench: built ## measure each figure beside its baseline (docs/benchmarks.md)
	@$(PYTHON) -m tests.benchmarks $(or $(BENCH),--write)

.PHONY: help engine engine-remove venv requirements images images-push images-check test-images test-arm64 \
	demo up down clean ps built lint test test-fast chaos bench
