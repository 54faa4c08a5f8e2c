"""A whole CT with known truth and physics of its own; knows nothing of the estimator it is used to judge."""
