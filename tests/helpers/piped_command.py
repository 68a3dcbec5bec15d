"""A command of the command line whose standard input is a pipe."""

import io
import sys

from autograd import use_kernels
from tinygrad_llm import cli


def run_piped(argv, data, monkeypatch, capsys):
    """(exit code, standard output, standard error) of a command that reads the bytes ``data``."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))
    with use_kernels("reference"):
        code = cli.main(argv)
    captured = capsys.readouterr()
    return code, captured.out, captured.err
