"""A training run: task, state, loop, loss, optimizers, checkpoints, logs."""
