#!/usr/bin/env bash
# Trains the language model of recipe mini-plain on one GPU in 12 minutes, and measures it:
#
#   scripts/train_mini_gpu.sh [RUN]          default runs/mini-plain-gpu
#
# Each stage may take ten times the steps of the CPU recipe, within its share of the time; the learning rate falls to
# its end with whichever comes first. Run the same line again after an interruption: finished stages are skipped, and
# the one that was cut goes on from its newest checkpoint with the time it had left. Encoders and decoders are those that
# ship, and L_DM is off, as in the run whose weights ship.
#
# In numbers small enough for a CPU: STEPS=2 SAMPLES=100 QUERIES=1 DRAWS=1 scripts/train_mini_gpu.sh /tmp/mini
#   STEPS      of every stage, in place of ten times the recipe's
#   SAMPLES    of the training set
#   QUERIES    per task and family of a draw; DRAWS of them
#   PYTHON     the interpreter, default python
set -euo pipefail

run=${1:-runs/mini-plain-gpu}
python=${PYTHON:-python}
here=$(cd "$(dirname "$0")" && pwd)

# shellcheck source=scripts/gpu_stage.sh
source "$here/gpu_stage.sh"
unused=(model.modalities.image.diffusion_weight=0 model.modalities.audio.diffusion_weight=0)

train mini-plain model language 112500 00:00:04:45 30 "${unused[@]}"
train mini-plain settle settled 9470 00:00:00:30 30 "${unused[@]}"
train mini-plain further further 98000 00:00:04:00 30 "${unused[@]}"
"$python" "$here/measure_mini.py" "$run/further" \
  --draws "${DRAWS:-1}" --queries "${QUERIES:-12}" --json "$run/measured.json"
