# Two commands do all the set-up on a fresh machine: make demo, make test.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
# The CPU build is enough for the demo and the tests. On a machine where pip would choose a CUDA build, name the CPU
# index: make setup TORCH_INDEX=https://download.pytorch.org/whl/cpu
TORCH ?= torch==2.13.0
TORCH_INDEX ?=
VENV := .venv
RUN := $(VENV)/bin/python
export PIP_DISABLE_PIP_VERSION_CHECK = 1

AUDIO ?=
HEAD ?=
SEED ?= 1
OUT ?= out

.PHONY: help setup demo test test-resume lint extension standin standin-sheet starter bench clean

help:
	@echo "make demo [AUDIO=talk.wav] [HEAD=flame2023_Open.pkl] [SEED=7] [OUT=out]   a talking head from speech"
	@echo "make test        all tests that need no GPU"
	@echo "make test-resume training killed ten times at random, and shared by two processes (minutes)"
	@echo "make setup       the environment that both share"
	@echo "make extension   dist/talkingeyes_blender-*.zip, to install in Blender"
	@echo "make starter     train the shipped weights again (hours of CPU)"
	@echo "make bench       measure generation and writing"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml tools/system_packages.sh
	sh tools/system_packages.sh "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)
	$(RUN) -m pip install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(RUN) -m pip install -q -e ".[dev]"
	touch $@

extension: setup
	$(RUN) tools/build_extension.py

demo: extension
	$(RUN) tools/demo.py --seed $(SEED) --out "$(OUT)" $(if $(AUDIO),--audio "$(AUDIO)") $(if $(HEAD),--head "$(HEAD)")

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports

test: lint
	$(RUN) -m pytest

test-resume: setup
	SLOW=1 $(RUN) -m pytest tests/test_training_runs.py -k "ten_kills or two_processes"

standin: setup
	$(RUN) -m talkingeyes_blender.head.standin_build

starter: setup
	sh tools/train_starter.sh

bench: setup
	$(RUN) -m benchmarks.generation
	$(RUN) -m benchmarks.curves
	$(RUN) -m benchmarks.skinning
	$(RUN) -m benchmarks.enable
	$(RUN) -m benchmarks.training

clean:
	rm -rf $(VENV) out dist build
