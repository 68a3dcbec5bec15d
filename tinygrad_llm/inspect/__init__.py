"""Looking into a model at work: where a loss pushes it (pushes.py)."""
