# The front door. `make help` lists what it can do; ARGS passes options on: make demo ARGS="--calls 4"
BIN := .venv/bin
.DEFAULT_GOAL := help
.PHONY: help setup cluster images demo examples test lint fmt bench chaos soak dashboards previous lock clean parts

help: ## List the targets
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile | expand -t 8

setup: ## Make .venv, install everything, and show the parts
	@scripts/setup.sh -v

# Only what the target runs: the demo needs no browser.
ready-%:
	@scripts/setup.sh $*

cluster: ready-cluster ## Make ready what the cluster tests run: Kubernetes, containerd, images
	@PYTHONPATH=tests $(BIN)/python -m cluster $(ARGS)

images: ## Build the images, and push them (REGISTRY=registry.example/team PUSH=1 PLATFORM=linux/amd64,linux/arm64)
	@REGISTRY="$(REGISTRY)" TAG="$(TAG)" PLATFORM="$(PLATFORM)" PUSH="$(PUSH)" ONLY="$(ONLY)" LOCK="$(LOCK)" BASE="$(BASE)" \
		BUILDER="$(BUILDER)" scripts/images.sh $(ARGS)

demo: ready-demo ## A fleet with calls on this machine, no accounts needed
	@$(BIN)/voicefleet demo $(ARGS)

examples: ready-examples ## Twelve agents of the shapes that teams have, unchanged, on a fleet that drains and breaks
	@PYTHONPATH=tests $(BIN)/python -m examples $(ARGS)

# Not everyone can run a cluster: their cluster tests are skipped, and say why. In CI a missing part fails.
parts: ready-test
	@PYTHONPATH=tests $(BIN)/python -m cluster || [ -z "$$CI" ]

# Tests wait more than they work: two at a time leave a machine of two cores time to spare.
test: parts ## Every test, two at a time (ARGS="-m unit" or a path for less; ARGS="-n 0": one at a time)
	@$(BIN)/pytest -n 2 --dist loadgroup $(ARGS)

dashboards: ready-dashboards ## Make the dashboards, rules and runbooks that are committed anew
	@$(BIN)/voicefleet dashboards generate --chart helm/voicefleet/files \
		--page controller/voicefleet/controller/http/page

previous: ## Keep the code of HEAD as the version that later ones must take over from (with each release)
	@git archive HEAD worker/voicefleet controller/voicefleet ':!controller/voicefleet/traffic/data' \
		':!controller/voicefleet/controller/waiting_message/audio' | xz -9e >tests/upgrade/previous.tar.xz

lint: ready-lint ## Style, format, types and layers
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check . || { $(BIN)/ruff format --check .; exit 1; }
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-cache >.venv/lint-imports.log || { cat .venv/lint-imports.log; exit 1; }

fmt: ready-fmt ## Put style and format right
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

bench: ready-bench ## Measurements, with figures as result
	@PYTHONPATH=tests $(BIN)/python -m bench $(ARGS)

chaos: ready-chaos ## One fault per scenario, measured by what callers hear (ARGS="--quick")
	@$(BIN)/voicefleet chaos $(ARGS)

soak: ready-soak ## Half an hour of calls and random faults; then all counts must add up
	@$(BIN)/voicefleet soak $(ARGS)

PIN := $(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
	--no-emit-index-url --no-emit-find-links
SAME := --constraint scripts/dev.lock --no-annotate
lock: ready-lock ## Pin every dependency, with hashes, for set-up and for each image (ARGS="--upgrade": the newest)
	@$(PIN) $(ARGS) pyproject.toml --extra all --group dev --group build --group compile --group installer \
		--output-file scripts/dev.lock
	@$(PIN) $(SAME) --group installer --output-file scripts/installer.lock
	@$(PIN) pyproject.toml --extra quality --no-deps $(SAME) --output-file scripts/quality.lock
	@$(PIN) pyproject.toml --extra smart-turn --no-deps $(SAME) --output-file scripts/smart-turn.lock
	@$(PIN) pyproject.toml --extra smollm --no-deps $(SAME) --output-file scripts/smollm.lock
	@$(PIN) $(SAME) --group compile --output-file scripts/compile.lock
	@$(PIN) $(SAME) --group build --output-file scripts/build.lock
	@$(PIN) --group go --no-annotate --output-file scripts/go.lock
	@for part in worker controller loadtest; do \
		$(PIN) $(SAME) pyproject.toml --extra $$part --output-file $$part/requirements.lock || exit; done
	@$(PIN) $(SAME) pyproject.toml --extra worker --extra local --output-file worker/requirements-local.lock

clean: ## Remove everything that setup and the tools made
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
