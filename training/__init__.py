"""Train models on an exported bundle. Needs what requirements/train.in lists, which no other package imports."""
