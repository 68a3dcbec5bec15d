"""The subcommands of the command line: functions from their options to the exit code.

cli.py imports only the module that was asked for. ``train.py`` is spread over ``start.py``,
``resume.py``, ``session.py`` and ``finish.py``; ``options.py``, ``corpus.py`` and ``console.py``
are shared.
"""
