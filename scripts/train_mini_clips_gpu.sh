#!/usr/bin/env bash
# Trains the recipe mini-clips on one GPU: the decoder of clips and the language model at the same time, which need
# nothing of each other, and puts them together in RUN/model.
#
#   scripts/train_mini_clips_gpu.sh [RUN]          default runs/mini-clips
#
# Each stage ends after its time or its steps, whichever come first; the learning rate falls to its end with that. Run the
# same line again after an interruption: a finished stage is skipped, one that was cut goes on from its newest checkpoint.
#
# In numbers small enough for a CPU: STEPS=2 SAMPLES=100 BATCH=4 WORKERS=0 scripts/train_mini_clips_gpu.sh /tmp/mini
#   MINUTES    of both, default 8
#   STEPS      of each stage
#   SAMPLES    of each training set
#   BATCH      of the language model, default 128
#   WORKERS    that make its batches, default 11; the decoder's batches are made by a quarter as many
#   LR         of the language model
#   PYTHON     the interpreter, default python
set -euo pipefail

run=${1:-runs/mini-clips}
python=${PYTHON:-python}
here=$(cd "$(dirname "$0")" && pwd)
batch=${BATCH:-128}
workers=${WORKERS:-11}
time=00:00:$(printf %02d "${MINUTES:-8}"):00

[ -e "$run/begin/config.json" ] || "$python" "$here/begin_mini_clips.py" "$run"

# shellcheck source=scripts/gpu_stage.sh
source "$here/gpu_stage.sh"
samples=data.datasets.clips.num_samples=${SAMPLES:-200000}

train mini-clips film film 1000000 "$time" 60 "$samples" "data.batch_size=$((batch / 4))" \
  "data.workers=$((workers / 4))" &
film=$!
# The frozen decoder of clips takes no part in the language model's losses: it stands here as it began. Workers cannot
# see features that are kept in memory.
train mini-clips model language 1000000 "$time" 60 "$samples" "data.batch_size=$batch" "data.workers=$workers" \
  "model.decoders.film.weights=$run/begin#decoders.film" module.cache_features=false \
  ${LR:+"module.optimizer.lr=$LR"}
wait "$film"
"$python" "$here/finish_mini_clips.py" "$run"
