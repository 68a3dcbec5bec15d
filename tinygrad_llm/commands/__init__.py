"""What each subcommand of the command line does: a function from its options to the exit code.

cli.py imports only the module that was asked for. ``train.py`` is spread over ``start.py``,
``resume.py``, ``session.py`` and ``finish.py``; ``options.py``, ``corpus.py`` and ``console.py``
are shared.
"""
