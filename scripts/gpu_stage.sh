# Sourced by the scripts that train on one GPU; they set run (a folder) and python. For tests: STEPS and SAMPLES.

# Trains one stage of a recipe, unless its result is there: train RECIPE STAGE RESULT STEPS DD:HH:MM:SS SECONDS [WORD ...]
# A checkpoint is written every so many seconds, from which the next start goes on; further words are overrides.
train() {
  local recipe=$1 stage=$2 result=$run/$3 steps=${STEPS:-$4} time=$5 seconds=$6
  shift 6
  if [ -f "$result/model.safetensors" ]; then
    echo "$stage: done before"
    return
  fi
  local keep="{class_path: anyloom_mini.demo.last_checkpoint.LastCheckpoint, \
init_args: {folder: '$run/checkpoints/$stage', seconds: $seconds}}"
  "$python" -m anyloom.cli.main fit "$recipe" --stage "$stage" \
    "variables.run=$run" \
    "variables.conversations.num_samples=${SAMPLES:-200000}" \
    "stages.$stage.trainer.max_steps=$steps" \
    "stages.$stage.trainer.max_time=$time" \
    "trainer.accelerator=auto" \
    "trainer.devices=1" \
    "trainer.default_root_dir=$run" \
    "trainer.callbacks=[$keep]" \
    "ckpt_path=last" \
    "$@"
}
