"""A small corpus with something to learn: short functions that differ in a few digits."""


def small_corpus(functions=120):
    """Python source text with this many functions."""
    return "".join(f"def f{i}(x):\n    return x + {i * 7 % 13}\n\n" for i in range(functions))
