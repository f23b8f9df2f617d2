# The first commands: `make run` and `make test`. Both set up what they need, given Rust, make and a C compiler.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
WASM_TARGET := wasm32-wasip2
AGENT := $(TARGET_DIR)/release/agent
GUESTS := integration-mock integration-git integration-github integration-gitlab integration-jira
TEST_GUESTS := $(patsubst tests/guests/%,guest-%,$(wildcard tests/guests/*))
# What guests are built with, tested on their own.
LIBRARIES := agent-sdk integration-model
GUEST_FLAGS := --target $(WASM_TARGET) --profile guest
# Where CI is set, what is compiled for the tests is linted in one go; by itself, each would compile everything anew.
LINTED := $(if $(filter-out false,$(CI)),RUSTC_WORKSPACE_WRAPPER="$(CURDIR)/scripts/rustc-linted.sh")
# The repository that `make run` exports: a path or a URL. `make bench` runs one area.
REPO ?= .
AREA ?= all
# How many kills `make kills` is content with.
KILLS ?= 1000

.PHONY: help
help: ## Show this list
	@echo "Usage: make TARGET [REPO=path-or-URL] [OUT=folder] [AREA=area] [REPOS=paths] [KILLS=number]"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: setup ## Build everything and export REPO (default: this repository) and mock data to ./out
	@$(CARGO) build --release -p agent
	@$(CARGO) build $(GUEST_FLAGS) $(addprefix -p ,$(GUESTS))
	@scripts/run.sh "$(AGENT)" "$(TARGET_DIR)/$(WASM_TARGET)/guest" "$(REPO)"

# With all targets: without those of the tests, dependencies lack features that these ask for, and are compiled twice.
.PHONY: test
test: setup guests ## Run all tests
	@scripts/test-servers.sh
	@scripts/test-sdks.sh
	@$(LINTED) $(CARGO) build --all-targets
	@$(LINTED) $(CARGO) test
	@$(LINTED) $(CARGO) test $(addprefix -p ,$(LIBRARIES) $(GUESTS))
	@$(LINTED) scripts/test-github.sh "$(TARGET_DIR)"
	@$(LINTED) scripts/test-gitlab.sh "$(TARGET_DIR)"
	@$(LINTED) scripts/test-jira.sh "$(TARGET_DIR)"

.PHONY: kills
kills: setup guests ## Kill exports at random moments KILLS times, at every host call and at every sync; some minutes
	@scripts/test-servers.sh
	@$(CARGO) build --all-targets
	@AGENT_KILLS=$(KILLS) $(CARGO) test --test all -- kill:: --nocapture

.PHONY: guests
guests: setup ## Build the integrations, and the guests of the tests
	@$(CARGO) build $(GUEST_FLAGS) $(addprefix -p ,$(GUESTS) $(TEST_GUESTS))
	@scripts/guests-python.sh "$(TARGET_DIR)"
	@scripts/guests-js.sh "$(TARGET_DIR)"

.PHONY: lint
lint: setup ## Check formatting, lints, layers and what each package may depend on
	@$(CARGO) fmt --all --check
	@$(if $(LINTED),$(LINTED) $(CARGO) build --all-targets,$(CARGO) clippy --all-targets -- -D warnings)
	@$(CARGO) clippy --target $(WASM_TARGET) $(addprefix -p ,$(LIBRARIES) $(GUESTS) $(TEST_GUESTS)) -- -D warnings
	@$(LINTED) scripts/check-layers.sh
	@scripts/check-dependencies.sh

.PHONY: bench
bench: setup $(if $(filter ripsrc,$(AREA)),,guests) ## Run the benchmarks, all or one AREA (runtime, ripsrc, egress, github; REPOS=paths for more); results in target/bench
	@scripts/bench.sh "$(AREA)"

.PHONY: test-servers
test-servers: ## Find what tests need of the system, and say what is missing
	@scripts/test-servers.sh

.PHONY: fmt
fmt: ## Format all code
	@$(CARGO) fmt --all

.PHONY: setup
setup: # What everything else needs; quick when it is there already.
	@scripts/setup.sh "$(CARGO)" "$(WASM_TARGET)"

.PHONY: clean
clean: ## Remove what was built and exported (./target, ./out, ./.agent)
	@$(CARGO) clean
	@rm -rf out .agent
