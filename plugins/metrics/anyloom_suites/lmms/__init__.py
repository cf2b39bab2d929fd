"""A model of lmms-eval: ``lmms-eval --model anyloom --model_args pretrained=FOLDER --tasks TASK``."""
