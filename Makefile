# `make help` lists the targets.
SHELL := /bin/sh
.DEFAULT_GOAL := help

help: ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

engine: ## a Docker engine that answers: one already there is left as it is, else one is installed and started
	@images/engine/ensure.sh

.PHONY: help engine
