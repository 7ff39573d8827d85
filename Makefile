# One obvious target each; continuous integration calls the same ones.
# Works with GNU make 3.81 and the tools of macOS.

VENV ?= .venv
ARGS ?=
# Processes that share the tests, and mostly wait; each has servers of its own. 0: pytest itself.
JOBS ?= 3

bin := $(VENV)/bin
# What is installed, as stamps that are older than the files they were made from when it is stale.
demo_stamp := $(VENV)/.installed-demo
dev_stamp := $(VENV)/.installed-dev
bench_stamp := $(VENV)/.installed-bench
# Whatever the tests need includes whatever the demo needs.
demo_ready := $(if $(wildcard $(dev_stamp)),$(dev_stamp),$(demo_stamp))

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help demo up test bench bench-pipelines bench-schedules chaos check fmt wheel clean

help:  ## Show what can be done
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-15s %s\n", $$1, $$2 }' Makefile

demo: $(demo_ready)  ## Run two pipelines end to end, on servers of their own
	@$(bin)/datamcp demo $(ARGS)

up: $(demo_ready)  ## Start everything, and keep it running until Ctrl-C (ARGS=--detach: behind)
	@$(bin)/datamcp up $(ARGS)

test: $(dev_stamp)  ## Run the tests on real servers (ARGS="-k name": some; ARGS=--thorough: all)
	@$(bin)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(dev_stamp)  ## Measure it beside raw Celery (ARGS="--quick" to try it)
	@$(bin)/python -m benchmarks $(ARGS)

bench-pipelines: $(dev_stamp)  ## Measure its pipelines beside raw Celery (ARGS="--quick" to try it)
	@$(bin)/python -m benchmarks.pipelines $(ARGS)

bench-schedules: $(bench_stamp)  ## Measure its beat beside those of others (ARGS="--quick" to try it)
	@$(bin)/python -m benchmarks.schedules $(ARGS)

chaos: $(dev_stamp)  ## Break everything under load (SEED=, FAULTS=10000, ARGS="--only worker")
	@$(bin)/python -m chaos --scenarios $(if $(SEED),--seed $(SEED)) $(if $(FAULTS),--faults $(FAULTS)) $(ARGS)

check: $(dev_stamp)  ## Check format, lint, types and layers
	@$(bin)/ruff format --check .
	@$(bin)/ruff check .
	@$(bin)/mypy
	@$(bin)/lint-imports

fmt: $(dev_stamp)  ## Format the code, and mend what the linter can
	@$(bin)/ruff check --fix-only --quiet .
	@$(bin)/ruff format .

wheel: $(dev_stamp)  ## Build the wheel into dist/
	@$(bin)/python -m build --wheel

clean:  ## Remove what was built and cached; the environment and the state folder stay
	@rm -rf dist build .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage*
	@find . -name __pycache__ -type d -not -path './.*' -prune -exec rm -rf {} +

# The environment for pip's builds makes it use our versions for these, too, old pips and new ones.
install = PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt \
	$(bin)/python -m pip install --quiet --disable-pip-version-check --no-input

$(demo_stamp): pyproject.toml constraints.txt | $(bin)/python
	@echo 'Installing datamcp and what its demo needs into $(VENV) ...' >&2
	@$(install) -c constraints.txt -e '.[demo]'
	@touch $@

$(dev_stamp): pyproject.toml constraints.txt | $(bin)/python
	@echo 'Installing datamcp and what its tests need into $(VENV) ...' >&2
	@$(install) -c constraints.txt -e '.[dev]'
	@touch $@

$(bench_stamp): $(dev_stamp)
	@echo 'Installing the schedulers that datamcp is measured beside into $(VENV) ...' >&2
	@$(install) -c constraints.txt -e '.[bench]'
	@touch $@

# A candidate counts only if it runs: a shim on the path may have no Python behind it.
$(bin)/python:
	@without_venv=; \
	for candidate in "$(PYTHON)" python3.13 python3.12 python3.11 python3; do \
		"$$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' \
			>/dev/null 2>&1 || continue; \
		if "$$candidate" -c 'import venv, ensurepip' >/dev/null 2>&1; then \
			exec "$$candidate" -m venv --clear "$(VENV)"; \
		fi; \
		without_venv="$$candidate"; \
	done; \
	if [ -n "$$without_venv" ]; then \
		echo "$$without_venv has no venv; install it (Debian: apt install python3-venv)" >&2; \
	else \
		echo "datamcp needs Python 3.11, 3.12 or 3.13; set PYTHON to one, or install it" >&2; \
	fi; \
	exit 1
