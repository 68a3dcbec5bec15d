"""Runs programs that may be hostile: ``run_program`` says whether one reaches its end."""

from tinygrad_llm.evals.sandbox.run import Limits, containment, run_program

__all__ = ["Limits", "containment", "run_program"]
