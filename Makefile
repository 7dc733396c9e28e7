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

# --- setup ------------------------------------------------------------------------------------------------------------

engine: ## ensure a running Docker engine; an existing Docker is never changed
	@images/engine/ensure.sh

engine-remove: ## remove the engine that `make engine` installed (YES=1: with the data in it)
	@images/engine/remove.sh

venv: $(VENV) ## create the development environment in .venv

$(VENV): requirements/dev.txt images/venv.sh
	@images/venv.sh

requirements: $(VENV) ## pin all dependencies of pyproject.toml with hashes (UPGRADE=1: newest versions)
	@$(COMPILE) --python-version 3.13 --extra bot $(UNUSED) --output-file requirements/bot.txt
	@$(COMPILE) --python-version 3.13 --extra orchestrator --output-file requirements/orchestrator.txt
	@$(COMPILE) --python-version 3.13 --extra simulator --output-file requirements/simulator.txt
	@$(COMPILE) --python-version 3.11 --extra dev --output-file requirements/dev.txt
# Dependencies of neonize's Python client. The bot uses neonize's compiled library and its protobuf messages only.
UNUSED = $(addprefix --no-emit-package , anyio beautifulsoup4 charset-normalizer colorama httpcore httpx idna \
	linkpreview phonenumbers pillow python-magic python-magic-bin requests soupsieve tqdm typing-extensions urllib3)
COMPILE = $(UV) pip compile --quiet --universal --generate-hashes --no-emit-index-url --no-header \
	$(if $(UPGRADE),--upgrade) pyproject.toml

# --- images -----------------------------------------------------------------------------------------------------------
# PLATFORMS=linux/amd64,linux/arm64  both (default: this machine's; push: both)    IMAGES="bot postgres"  only these
# BASE_IMAGE=python:3.13-slim        instead of the root built from packages       REFRESH=1  fetch packages again
# BASE_MAX_AGE_DAYS=7                age after which packages are fetched again    TAG=…      instead of `dev`
# REGISTRY=host:port/prefix          where images-push pushes to

BUILDER = $(PYTHON) -m images.builder
BUILD_OPTIONS = $(if $(PLATFORMS),--platforms "$(PLATFORMS)") $(if $(IMAGES),--images "$(IMAGES)") \
	$(if $(BASE_IMAGE),--base-image "$(BASE_IMAGE)") $(if $(REFRESH),--refresh) $(if $(TAG),--tag "$(TAG)")

images: engine $(VENV) ## build the images
	@$(BUILDER) build $(BUILD_OPTIONS)

images-push: engine $(VENV) ## build for all platforms and push to REGISTRY=host:port/prefix
	@$(BUILDER) push $(BUILD_OPTIONS) --registry "$(REGISTRY)"

images-check: engine $(VENV) ## build everything twice from scratch and compare the digests
	@$(BUILDER) check $(BUILD_OPTIONS)

test-images: engine $(VENV) ## test the images of both platforms, and pushing them to a local registry
	@images/registry.sh
	@$(BUILDER) build --platforms linux/amd64,linux/arm64 --tag test
	@BOTDOCK_TEST_TAG=test $(PYTHON) -m pytest -q tests/e2e/test_images.py tests/e2e/test_image_builds.py

test-arm64: engine $(VENV) ## run the arm64 bot image, emulated if necessary
	@images/arm64.sh

# --- run --------------------------------------------------------------------------------------------------------------
# BOTDOCK_PORT=8000 SIMULATOR_PORT=8090   ports on 127.0.0.1    DEMO=second    name of the demo (default: demo)
# BOTDOCK_TAG=dev                         tag of the images, so that another checkout's builds do not replace them

DEMO_OPTIONS = $(if $(DEMO),--name "$(DEMO)")

demo: built ## start a demo with a simulated WhatsApp and three paired bots
	@$(PYTHON) -m tests.demo demo $(DEMO_OPTIONS)

up: built ## start the stack for real phones
	@$(PYTHON) -m tests.demo up

down: ## stop the stacks of this checkout and their bots; all data stay
	@python3 -m tests.demo down $(DEMO_OPTIONS)

clean: ## remove the demo and everything this checkout built; the data of `make up` stay
	@python3 -m tests.demo clean $(DEMO_OPTIONS)

purge: ## delete the databases, keys and sessions of `make up`, after asking (YES=1: without asking)
	@python3 -m tests.demo purge

ps: ## list the bot containers
	@python3 -m tests.demo ps

# Compose resolves registry and tag, so that `.env` counts as well as the environment. Ports do not matter here: the next
# step checks them and explains what is wrong.
built: engine $(VENV)
	@image=$$(BOTDOCK_PORT= SIMULATOR_PORT= docker compose config --images | grep '/orchestrator:' | head -n 1) && \
	registry=$${image%/orchestrator:*} && export BOTDOCK_TAG="$${image##*:}" && \
	if [ -z "$$image" ]; then \
		echo "images: FAILED: 'docker compose config' fails, see above; correct .env or the environment" >&2; exit 1; \
	elif [ "$$registry" != botdock ]; then \
		echo "images: from $$registry, nothing to build"; \
	elif images/built.sh check; then \
		echo "images: up to date"; \
	else \
		images/built.sh begin && $(BUILDER) build --tag "$$BOTDOCK_TAG" $(BUILD_OPTIONS) && images/built.sh end; \
	fi

# --- test -------------------------------------------------------------------------------------------------------------

lint: $(VENV) ## check style, types and import rules
	@.venv/bin/ruff check .
	@.venv/bin/ruff format --check .
	@.venv/bin/mypy orchestrator bot_runtime images tests
	@.venv/bin/lint-imports

# WORKERS=4   how many modules are tested at once: more than two cores, because many tests wait for containers
PARALLEL = --numprocesses $(or $(WORKERS),4) --dist loadfile --no-loadscope-reorder

test: engine $(VENV) ## lint, then all unit, integration and end-to-end tests on a real engine
	@$(MAKE) --no-print-directory --jobs=2 --output-sync=line lint built
	@images/registry.sh
	@$(PYTHON) -m pytest $(PARALLEL) $(TEST_OPTIONS) tests/unit tests/integration tests/e2e

coverage: ## `make test` with coverage, which doubles its time; fails below the floor in pyproject.toml
	@rm -f .coverage .coverage.*
	@$(MAKE) --no-print-directory test TEST_OPTIONS="--cov --cov-report=term:skip-covered"

test-fast: $(VENV) ## the tests that need no Docker engine and start no bot, in about a minute
	@$(PYTHON) -m pytest -q $(PARALLEL) -m "not docker and not slow" tests/unit tests/integration \
		--ignore tests/integration/bot_runtime --ignore tests/integration/simulator

chaos: lint built ## three minutes of traffic while parts of a fleet fail at random; every message is accounted for
	@$(PYTHON) -m pytest -q -s tests/chaos

# BENCH="--only starts --sizes 20 --quick"   only a part, without writing the page
bench: built ## measure each figure beside its baseline (docs/benchmarks.md)
	@$(PYTHON) -m tests.benchmarks $(or $(BENCH),--write)

.PHONY: help engine engine-remove venv requirements images images-push images-check test-images test-arm64 \
	demo up down clean purge ps built lint test coverage test-fast chaos bench
