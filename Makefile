# Needs Python 3.11 or newer and PyPI; everything else goes into .tools and .venv.
IMAGES := control-plane $(patsubst %,worker-%,default native langgraph openai-agents crewai claude-code)
.PHONY: demo test conformance bodies faults runtimes containers floors bench setup crewai docs locks images images-test wheel $(IMAGES) lint fmt clean

UV_VERSION := 0.13.8
UV := .tools/bin/uv
BIN := .venv/bin

unexport VIRTUAL_ENV
export UV_PROJECT_ENVIRONMENT := .venv
export UV_PYTHON_DOWNLOADS := never
export PYRIGHT_PYTHON_IGNORE_WARNINGS := 1

#: The newest Python here that is new enough and starts.
PYTHON = $(shell for python in python3.13 python3.12 python3.11 python3; do \
  $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
NO_PYTHON := Holdfast needs Python 3.11 or newer; none of python3.13, python3.12, python3.11, python3 is.

# $(call step,what it does,command)
step = @printf '==> %s\n' '$(1)'; start=$$(date +%s); $(2) && printf '    done in %s s\n' "$$(($$(date +%s) - start))"

# runtime:extra, or runtime:extra:mcp where the framework does not bring an SDK for MCP servers
LOCKS := control_plane:control-plane default:agno:mcp claude_code:claude langgraph:langgraph:mcp native:native:mcp openai_agents:openai-agents:mcp \
  crewai:crewai
export_lock = $(UV) export --locked --quiet --no-dev --no-emit-workspace --no-header --no-annotate \
  $(patsubst %,--extra %,$(wordlist 2,3,$(1))) --output-file locks/$(firstword $(1)).txt

# The demo: start everything, run an agent, kill its worker, see it carry on, stop everything.
demo: setup
	@./docs/demo.sh

# Every check and every test; pytest has the last word.
test: lint
	@printf '==> %s\n' 'Tests, against a real PostgreSQL and a real Temporal'
	@$(BIN)/pytest --ignore=tests/benchmarks -m 'not whole and not containers'

# Every runtime in every scenario on every wire; writes .bench/conformance.json.
conformance: setup crewai
	@printf '==> %s\n' 'Conformance'
	@$(BIN)/python -m tests.conformance

# Every body that a real provider sends, under every runtime; shows a table, and writes .bench/bodies.json.
bodies: setup crewai
	@printf '==> %s\n' 'Bodies of real providers'
	@$(BIN)/python -m tests.provider_bodies

# Kill, freeze, cut off and restart everything under every runtime; writes .bench/faults.json.
faults: setup crewai
	@printf '==> %s\n' 'Faults'
	@$(BIN)/pytest tests/faults
	@$(BIN)/pytest tests/runtimes/test_claude_code_names.py

# One agent under six runtimes in turn, each added to a running local stack with an environment of its own.
runtimes: setup
	@printf '==> %s\n' 'Runtimes that are added'
	@$(BIN)/pytest tests/control_plane/local/test_added_runtimes.py

# The whole as containers of our images, with workers killed, stopped, cut off and rolled; where Docker is.
containers: setup
	@printf '==> %s\n' 'Containers'
	@$(BIN)/pytest tests/containers -m 'containers and not whole'

# The lowest versions that pyproject.toml allows, each set in an environment of its own.
floors: setup
	@printf '==> %s\n' 'Lowest versions'
	@$(BIN)/pytest tests/floors

# Measure against a bare Temporal workflow on the same server; writes .bench/results.json.
bench: setup
	@printf '==> %s\n' 'Benchmarks'
	@$(BIN)/python -m tests.benchmarks

lint: setup crewai
	$(call step,Style,$(BIN)/ruff check --quiet)
	$(call step,Format,$(BIN)/ruff format --check --quiet)
	$(call step,Types,$(BIN)/pyright --warnings)
	$(call step,Types of the CrewAI adapter,$(BIN)/pyright --warnings --project pyright-crewai.json)
	$(call step,Import contracts,$(BIN)/lint-imports --no-logo --no-cache)

fmt: setup
	$(call step,Format,$(BIN)/ruff check --fix --quiet; $(BIN)/ruff format)

setup: $(UV)
	$(call step,Dependencies into .venv,$(UV) sync --locked --all-extras --no-extra crewai --quiet --python .tools/bin/python)

# CrewAI cannot live beside the others: its dependencies are older.
crewai: $(UV)
	$(call step,CrewAI into .venvs/crewai,UV_PROJECT_ENVIRONMENT=.venvs/crewai $(UV) sync --locked --extra crewai --no-dev \
	  --quiet --python .tools/bin/python)

# Write anew what is written out of the code: docs/configuration.md.
docs: setup
	$(call step,Configuration reference,$(BIN)/python -m tests.docs.configuration)

# Write anew what each runtime's environment consists of: locks/<runtime>.txt, out of uv.lock.
locks: $(UV)
	$(call step,Lock files of the runtimes,$(foreach lock,$(LOCKS),$(call export_lock,$(subst :, ,$(lock))) &&) true)

# Build the images on $(BASE), with the tag $(TAG): one of the control plane, and one of a worker for each runtime.
BASE := docker.io/library/python:3.13-slim-bookworm
TAG := latest
lock_of = $(subst -,_,$(patsubst worker-%,%,$(1)))
build_image = docker build --quiet --build-arg BASE=$(BASE) --build-arg LOCK=$(call lock_of,$(1)) \
  --build-arg UV_VERSION=$(UV_VERSION) --build-arg REVISION=$$(git rev-parse HEAD) --file deploy/images/Dockerfile \
  --target $(1) --tag holdfast-$(1):$(TAG) .

images: $(IMAGES)

# Build every image on a base that needs no registry, and run it restricted; prints the sizes.
images-test: setup
	@printf '==> %s\n' 'Images'
	@$(BIN)/pytest tests/containers/test_images.py

wheel: $(UV)
	$(call step,Wheels into dist,rm -rf dist && $(UV) build --all-packages --wheel --quiet --out-dir dist)

$(IMAGES): wheel
	$(call step,Image holdfast-$@,$(call build_image,$@))

$(UV): Makefile
	@[ -n "$(PYTHON)" ] || { echo "$(NO_PYTHON)" >&2; exit 1; }
	$(call step,Tools into .tools,$(PYTHON) -m venv --clear .tools && .tools/bin/python -m pip install --quiet \
	  --disable-pip-version-check uv==$(UV_VERSION) && touch $(UV))

clean:
	rm -rf .tools .venv .venvs .bench .demo dist
