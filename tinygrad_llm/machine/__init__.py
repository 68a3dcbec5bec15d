"""The machine a run lives on: its memory, speed and threads, signals, and kernels to compile."""
