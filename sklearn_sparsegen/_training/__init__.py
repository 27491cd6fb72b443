"""What `fit` does: epochs, schedules, the state of training, checks of the result."""
