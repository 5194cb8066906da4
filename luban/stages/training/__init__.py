"""Training a model: options, build, loop, validation, log, costs and finish; ``train_model``."""
