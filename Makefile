# The first commands: `make run` and `make test`. Both set up what they need, given Rust, make and a C compiler.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

CARGO ?= cargo
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
WASM_TARGET := wasm32-wasip2
AGENT := $(TARGET_DIR)/release/agent
GUESTS := integration-mock integration-git
GUEST_FLAGS := --target $(WASM_TARGET) --profile guest $(addprefix -p ,$(GUESTS))
# The repository that `make run` exports: a path or a URL. `make bench` runs one area.
REPO ?= .
AREA ?= all

.PHONY: help
help: ## Show this list
	@echo "Usage: make TARGET [REPO=path-or-URL] [OUT=folder] [AREA=area]"; echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: setup ## Build everything and export REPO (default: this repository) and mock data to ./out
	@$(CARGO) build --release -p agent
	@$(CARGO) build $(GUEST_FLAGS)
	@scripts/run.sh "$(AGENT)" "$(TARGET_DIR)/$(WASM_TARGET)/guest" "$(REPO)"

.PHONY: test
test: setup guests ## Run all tests
	@scripts/test-servers.sh
	@$(CARGO) test --workspace $(addprefix --exclude ,$(GUESTS) agent-sdk)

.PHONY: guests
guests: setup ## Build the integrations, and the guests of the tests
	@$(CARGO) build $(GUEST_FLAGS)
	@if [ -e tests/guests/Cargo.toml ]; then \
		$(CARGO) build --manifest-path tests/guests/Cargo.toml --target $(WASM_TARGET) --profile guest \
			--target-dir "$(TARGET_DIR)"; \
	fi

.PHONY: lint
lint: setup ## Check formatting, lints, layers and what each package may depend on
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --all-targets -- -D warnings
	@$(CARGO) clippy --target $(WASM_TARGET) $(addprefix -p ,$(GUESTS) agent-sdk) -- -D warnings
	@if [ -e tests/guests/Cargo.toml ]; then \
		$(CARGO) fmt --manifest-path tests/guests/Cargo.toml --all --check; \
		$(CARGO) clippy --manifest-path tests/guests/Cargo.toml --target $(WASM_TARGET) --target-dir "$(TARGET_DIR)" -- -D warnings; \
	fi
	@scripts/check-layers.sh
	@scripts/check-dependencies.sh

.PHONY: bench
bench: setup ## Run the benchmarks, all or one AREA (runtime); results in target/bench
	@scripts/bench.sh "$(AREA)"

.PHONY: test-servers
test-servers: ## Find what tests need of the system, and say what is missing
	@scripts/test-servers.sh

.PHONY: fmt
fmt: ## Format all code
	@$(CARGO) fmt --all
	@if [ -e tests/guests/Cargo.toml ]; then $(CARGO) fmt --manifest-path tests/guests/Cargo.toml --all; fi

.PHONY: setup
setup: # What everything else needs; quick when it is there already.
	@scripts/setup.sh "$(CARGO)" "$(WASM_TARGET)"

.PHONY: clean
clean: ## Remove what was built and exported (./target, ./out, ./.agent)
	@$(CARGO) clean
	@rm -rf out .agent
