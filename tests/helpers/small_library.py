"""A small folder of Python modules with documented functions, for the pipeline."""

VERBS = "add remove find sort join split count read write copy".split()
NOUNS = "items words lines numbers names files rows keys".split()


def write_library(folder, modules=24, functions=6):
    """Write the modules into ``folder``/library and return its path.

    The functions of a module differ from those of the others. By a hash of its name, about one
    module in twenty is held out, here one of 24.
    """
    library = folder / "library"
    library.mkdir()
    for m in range(modules):
        parts = [f'"""Module {m}."""\n']
        for f in range(functions):
            verb, noun = VERBS[(m + f) % 10], NOUNS[(3 * m + f) % 8]
            parts.append(
                f"def {verb}_{noun}_{m}(first, second={f}):\n"
                f'    """{verb.capitalize()} {noun} of kind {m}, at most {f} of them."""\n'
                f"    for one in first[:{f}]:\n        yield one, second + {m}\n"
            )
        (library / f"{NOUNS[m % 8]}_{m}.py").write_text("\n\n".join(parts))
    return library
