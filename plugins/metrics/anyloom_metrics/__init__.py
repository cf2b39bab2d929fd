"""Published metrics: functions of tensors, the networks they look through, and metrics over evaluated samples."""
