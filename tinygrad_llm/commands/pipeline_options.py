"""The options of ``tinygrad-llm pipeline``. It imports nothing heavy: it serves ``--help``, too."""

from dataclasses import dataclass
from typing import Annotated, Literal

from tinygrad_llm.commands.text_options import also
from tinygrad_llm.config import check_count
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.precision_options import PrecisionOptions


@dataclass(frozen=True, kw_only=True)
class PipelineRunOptions:
    """What a pipeline makes, of what, and where."""

    preset: Literal["tiny", "smoke"] = "tiny"
    """tiny: ten minutes on two cores. smoke: seconds, a model that knows nothing, to try it out."""
    data: str = "stdlib"
    """Corpus: stdlib (this Python's standard library), or the path of a folder of Python files."""
    seed: int = 1337
    """Seed of everything random."""
    out: Annotated[str | None, also("-o")] = None
    """Folder of the run; None means runs/pipeline-PRESET."""

    def __post_init__(self) -> None:
        check_count("seed", self.seed, low=0)
        if self.out is not None and user_path(self.out).name in ("", ".."):
            raise UserError(f"out is {self.out!r}: name a folder of its own for the run")


@dataclass(frozen=True, kw_only=True)
class PipelineOptions(PrecisionOptions, PipelineRunOptions):
    """From a corpus of Python code to an assistant, with every step evaluated, in one run.

    Collects and cleans the corpus, trains a tokenizer and a base model, fine-tunes it to answer
    (SFT), aligns it with preferences (DPO), evaluates every model on held-out code, and writes a
    report. The same command goes on where an interrupted run has stopped.
    """

    # the fields of the last base come first

    def __post_init__(self) -> None:
        PipelineRunOptions.__post_init__(self)
        PrecisionOptions.__post_init__(self)
