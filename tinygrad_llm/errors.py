"""The one exception type that means "the input was wrong", as opposed to "the program is wrong".

Everything the library raises because of what a user typed, or because of a file they named, is a
``UserError``: a single sentence that says what was wrong, where, and what to do about it. The
command line prints that sentence and exits with code 2; any other exception is a bug in this
project and keeps its traceback.
"""


class UserError(ValueError):
    """A mistake in the input, described in one sentence. A ValueError, for library callers."""
