# What people type. Every target sets up what it needs and can be run twice.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
JOBS ?= auto

.PHONY: help setup docker bubblewrap demo test lint format clean

help: ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

setup: $(VENV)/.complete ## make .venv from the frozen lock

$(VENV)/.complete: uv.lock pyproject.toml scripts/setup
	@scripts/setup
	@touch $@

docker: ## see that a Docker engine answers, or start one
	@scripts/ensure-docker

bubblewrap: ## see that bubblewrap is there, or install it
	@scripts/ensure-bubblewrap

demo: setup docker ## do the main job end to end: no account, no key, no registry
	@$(BIN)/sandpiper demo

lint: setup ## types, style, workflows
	@scripts/lint

test: setup docker bubblewrap lint ## the whole suite
	@$(BIN)/python -m pytest -n $(JOBS)

format: setup ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix bot tests && $(BIN)/ruff format bot tests

clean: ## remove what setup and demo made
	@rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
