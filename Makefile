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
# Of make reproduce: the corpus (made if it is not there) and its hours, where the results go, and how they are shared.
DATA ?= runs/corpus
HOURS ?= 4
REPRODUCTION ?= runs/reproduce
SEEDS ?= 0 1 2
JOBS ?= 2

.PHONY: help setup demo release test test-setup test-kills test-resume test-blenders lint extension standin standin-sheet starter bench \
	bench-heads reproduce reproduce-report clean

help:
	@echo "make demo [AUDIO=talk.wav] [HEAD=flame2023_Open.pkl] [SEED=7] [OUT=out]   a talking head from speech"
	@echo "make test        all tests that need no GPU"
	@echo "make test-kills  the worker killed a hundred times at random moments, the scene compared each time"
	@echo "make test-resume training killed ten times at random, and shared by two processes (minutes)"
	@echo "make setup       the environment that both share"
	@echo "make test-blenders   the tests that need Blender in 4.2, 4.5, 5.0 and 5.2 (Python 3.11 and 3.13)"
	@echo "make test-setup  make the worker's environment for real, with torch"
	@echo "make release     the same with its hash and its notes, from a clean tree whose versions agree"
	@echo "make extension   dist/talkingeyes_blender-*.zip, to install in Blender"
	@echo "make starter     train the shipped weights again (hours of CPU)"
	@echo "make bench       measure generation and writing"
	@echo "make reproduce   the paper's Tables III, V, VI, VII in a small setting (hours; resumes) [SEEDS=\"0 1 2\"] [JOBS=2]"
	@echo "make reproduce-report   what there is of them so far"
	@echo "make bench-heads measure lids, and transfer to a FLAME head (TALKINGEYES_TESTDATA, or --head of the modules)"

setup: $(VENV)/.ready

$(VENV)/.ready: pyproject.toml tools/system_packages.sh
	sh tools/system_packages.sh "$(PYTHON)"
	"$(PYTHON)" -m venv $(VENV)
	$(RUN) -m pip install -q $(if $(TORCH_INDEX),--index-url $(TORCH_INDEX)) $(TORCH)
	$(RUN) -m pip install -q -e ".[dev]"
	touch $@

extension: setup
	$(RUN) tools/build_extension.py

release: setup
	$(RUN) tools/release.py

demo: extension
	$(RUN) tools/demo.py --seed $(SEED) --out "$(OUT)" $(if $(AUDIO),--audio "$(AUDIO)") $(if $(HEAD),--head "$(HEAD)")

lint: setup
	$(VENV)/bin/ruff check .
	$(VENV)/bin/lint-imports

test-setup: setup
	TALKINGEYES_TEST_SETUP="$(TORCH)" $(RUN) -m pytest -s tests/test_environment.py -k real

test-blenders: setup
	sh tools/test_blenders.sh

test: lint
	$(RUN) -m pytest

test-kills: setup
	TALKINGEYES_KILLS=100 $(RUN) -m pytest tests/test_jobs.py -k kills_at_random

test-resume: setup
	SLOW=1 $(RUN) -m pytest tests/test_training_runs.py -k "ten_kills or two_processes"

standin: setup
	$(RUN) -m talkingeyes_blender.head.standin_build

# READINGS=LibriSpeech/dev-clean lets the lips learn from real voices too.
starter: setup
	sh tools/train_starter.sh runs 20 $(READINGS)

# One command, stopped and taken up at will. Several may run at once on one folder, say a seed each: SEEDS=0, SEEDS=1.
reproduce: setup
	test -f $(DATA)/dataset.json || $(RUN) -m talkingeyes_blender.training corpus --out $(DATA) --hours $(HOURS)
	OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE $(RUN) -m talkingeyes_blender.training reproduce \
	  --data $(DATA) --out $(REPRODUCTION) --setting small --seeds $(SEEDS) --jobs $(JOBS) --threads 1

reproduce-report: setup
	$(RUN) -m talkingeyes_blender.training reproduce \
	  --data $(DATA) --out $(REPRODUCTION) --setting small --seeds $(SEEDS) --report-only

bench: setup
	$(RUN) -m benchmarks
	$(RUN) -m benchmarks.skinning
	$(RUN) -m benchmarks.enable

bench-heads: setup
	$(RUN) -m benchmarks.lids
	$(RUN) -m benchmarks.transfer

clean:
	rm -rf $(VENV) out dist build
