"""The machine: its memory, speed and threads, signals, and the kernels to compile for it."""
