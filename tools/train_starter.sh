#!/bin/sh
# Make the shipped weights again: corpus, three stages, bundle. Each step resumes where it was stopped.
# The corpus is spoken by whatever voices are installed; docs/data.md names those that the shipped weights heard.
# The face and the gaze stages share nothing, so each has a core of its own. Some hours of CPU.
# Usage: train_starter.sh [WORK_FOLDER] [HOURS_OF_CORPUS]
set -eu
cd "$(dirname "$0")/.."
work=${1:-runs}
hours=${2:-20}
run=${RUN:-.venv/bin/python}
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

"$run" -m talkingeyes_blender.training corpus --out "$work/corpus" --hours "$hours" --seed 0 --workers 2
"$run" -m talkingeyes_blender.training face --data "$work/corpus" --out "$work/starter" --recipe starter --threads 1 &
face=$!
"$run" -m talkingeyes_blender.training gaze-vqvae --data "$work/corpus" --out "$work/starter" --recipe starter --threads 1
"$run" -m talkingeyes_blender.training speech-to-gaze --data "$work/corpus" --out "$work/starter" --recipe starter --threads 1
wait "$face"
"$run" -m talkingeyes_blender.training export --out "$work/starter" --bundle talkingeyes_blender/weights \
  --name "TalkingEyes starter" --card docs/starter_card.md --fit-prior "$work/corpus" --fixate 2.5 --temperature 0.95 --shut-at 0.8
