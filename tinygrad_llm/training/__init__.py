"""Training: ``trainer.py`` has the order of a step; the other files are the parts it uses."""
