#!/bin/sh
# Make the shipped weights again: corpus, three stages, bundle. Each step resumes where it was stopped.
# The corpus is spoken by whatever voices are installed; docs/data.md names those that the shipped weights heard.
# The face and the gaze stages share nothing, so each has a core of its own. Some hours of CPU.
# With a folder of readings (LibriSpeech's dev-clean, openslr.org/12) the face also learns from real voices.
# Usage: train_starter.sh [WORK_FOLDER] [HOURS_OF_CORPUS] [READINGS]
set -eu
cd "$(dirname "$0")/.."
work=${1:-runs}
hours=${2:-20}
readings=${3:-}
run=${RUN:-.venv/bin/python}
export OMP_NUM_THREADS=1 OMP_WAIT_POLICY=PASSIVE

"$run" -m talkingeyes_blender.training corpus --out "$work/corpus" --hours "$hours" --seed 0 --workers 2
if [ -n "$readings" ]; then
  "$run" -m talkingeyes_blender.training corpus --recordings "$readings" --out "$work/corpus" --workers 2 --copies 2 \
    --validation 422 1673 --test 84 174 251 1462
fi
"$run" -m talkingeyes_blender.training face --data "$work/corpus" --out "$work/starter" --recipe starter --threads 1 &
face=$!
"$run" -m talkingeyes_blender.training gaze-vqvae --data "$work/corpus" --out "$work/starter" --recipe starter --threads 1
"$run" -m talkingeyes_blender.training speech-to-gaze --data "$work/corpus" --out "$work/starter" --recipe starter --threads 1
wait "$face"
"$run" -m talkingeyes_blender.training export --out "$work/starter" --bundle talkingeyes_blender/weights \
  --name "TalkingEyes starter" --card docs/starter_card.md --fit-prior "$work/corpus" --fixate 1.5 --temperature 0.9 --shut-at 0.8
