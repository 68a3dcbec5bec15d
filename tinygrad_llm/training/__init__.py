"""Training: ``trainer.py`` decides the order of a step; the other files are the parts it uses."""
