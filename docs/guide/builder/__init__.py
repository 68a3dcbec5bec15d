"""The parts of ``docs/guide/build.py``: what reads, checks, runs and prints the guide."""
