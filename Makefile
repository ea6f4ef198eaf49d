# Every target sets up what it needs; `make help` lists them.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock
# As `plimsoll` has it (compose/cli.py): several threads per small matrix only wait for each other.
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help setup run test chaos containers check fuzz audit sbom bundle generate demo-history pictures lock
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(VENV)/run.stamp: pyproject.toml setup.py requirements.lock
	@echo "Setting up $(VENV): Plimsoll, the SLO service, and the planner (once; about a minute)"
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(PIP) -e '.[service,build,planner]'
	@touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	@echo "Setting up $(VENV): tools for the tests (once)"
	@$(PIP) -e '.[dev]'
	@# mypy, and Pythons that have not installed the package (vLLM's own), see the folders as `plimsoll` below .venv/src.
	@mkdir -p $(VENV)/src/plimsoll && for folder in alerts compose dashboards exporters slo; do ln -sfn ../../../$$folder $(VENV)/src/plimsoll/$$folder; done
	@# Tests and benchmarks import their fakes, worlds and tools by name.
	@printf '%s\n' $(foreach folder,chaos containers fakes worlds tools,"$(CURDIR)/tests/$(folder)") > "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/plimsoll-tests.pth"
	@touch $@

setup: $(VENV)/dev.stamp ## Install Plimsoll and its development tools into .venv

run: $(VENV)/run.stamp ## Start the whole stack on loopback: ENGINES="http://host:8000 ..." for real engines, else the demo fleet
	@# On a terminal the stack gets a process group of its own, so that Ctrl-C ends it alone and make can say how it ended.
	@if [ -t 0 ]; then set -m; fi; $(BIN)/plimsoll up $(foreach url,$(ENGINES),--engine $(url))

test: $(VENV)/dev.stamp ## Run every test, real Prometheus, Alertmanager and vLLM included
	@sh tests/tools/prepare.sh
	@$(BIN)/python -m pytest -n auto

SEED ?= 1
MINUTES ?= 10
chaos: $(VENV)/dev.stamp ## Kill, stop and spoil every part for MINUTES=10 by the plan of SEED=1, and compare ledgers and pages with the truth
	@sh tests/tools/prepare.sh
	@$(BIN)/python tests/chaos/run.py --seed $(SEED) --minutes $(MINUTES) $(if $(REPORT),--markdown $(REPORT))

containers: $(VENV)/dev.stamp ## Build the image and run compose.yaml for real: podman on Debian, as root (some minutes)
	@$(BIN)/python tests/containers/drive_stack.py

check: $(VENV)/dev.stamp ## Lint, types and the fast tests, in some two minutes
	@$(BIN)/ruff check . && $(BIN)/ruff format --check --quiet . && $(BIN)/mypy
	@$(BIN)/python -m pytest -q -n auto -m "not slow and not engine and not prometheus and not postgresql and not browser"

fuzz: $(VENV)/dev.stamp ## Try N (200) times the hostile inputs of `make test`, at random
	@PLIMSOLL_FUZZ=$(or $(N),200) $(BIN)/python -m pytest -q -n auto --timeout 0 tests/fuzz

audit: $(VENV)/dev.stamp ## Look for known vulnerabilities of the locked distributions
	@$(BIN)/python tests/tools/audit.py

sbom: $(VENV)/dev.stamp ## Write build/plimsoll.cdx.json, the software bill of materials (CycloneDX)
	@$(BIN)/python tests/tools/sbom.py build/plimsoll.cdx.json

bundle: $(VENV)/dev.stamp ## Write build/plimsoll.tar.gz: wheels with hashes for Python 3.11 to 3.14, chart, configuration, licenses, SBOM
	@$(BIN)/python tests/tools/interpreters.py
	@$(BIN)/python tests/tools/bundle.py build/plimsoll.tar.gz

generate: $(VENV)/dev.stamp ## Write alerts/generated, dashboards/generated and docs/reference from the code
	@$(BIN)/plimsoll build
	@$(BIN)/plimsoll chart
	@$(BIN)/python -m plimsoll.compose.reference docs/reference
	@$(BIN)/plimsoll review --schema > docs/review.schema.json
	@$(BIN)/python tests/tools/dependencies.py > docs/reference/dependencies.md

demo-history: $(VENV)/dev.stamp ## Measure anew the slots from which the demo's simulated past is made (seconds)
	@$(BIN)/python -m plimsoll.compose.demo.history

pictures: $(VENV)/dev.stamp ## Draw docs/img: the pages, and the dashboards by Grafana's component libraries (needs node, chromium, prometheus; 640 MB once)
	@$(BIN)/python tests/pictures/pages.py
	@$(BIN)/python tests/pictures/draw.py

lock: ## Renew requirements.lock (needs uv)
	@uv pip compile pyproject.toml --all-extras --no-header --no-annotate --python-version 3.11 --upgrade --quiet -o requirements.lock
