"""What each subcommand of the command line does: one file each, with ``run(options) -> int``.

cli.py imports only the one that was asked for. The value is the process's exit code.
"""
