"""Options of ``explore``: the page that steps through a backward pass."""

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Positional, arg

from tinygrad_llm.commands.text_options import also
from tinygrad_llm.errors import UserError


@dataclass(frozen=True)
class ExploreOptions:
    """Step through a forward and a backward pass in a browser, every number explained."""

    model: Annotated[Positional[str | None], arg(metavar="[MODEL]")] = None
    """A run (its best checkpoint is used), a checkpoint, a model directory of Hugging Face, a GGUF
    file or a name. Without it, a GPT small enough to see every number, and the other built-in
    graphs."""
    prompt: Annotated[str | None, also("-p")] = None
    """The text whose loss is explored, with MODEL; None means the start of the
    run's sample, and what the model writes after it."""
    graph: str | None = None
    """The built-in graph that the page begins with (--list names them)."""
    at: str | None = None
    """Where the page opens: an address as the page writes it, such as graph=twice&view=order."""
    list: bool = False
    """List the built-in graphs."""
    steps: str | None = None
    """With a run: its checkpoints to compare, all or 100,200 or 0:1000:100 (first, end, every)."""
    out: Annotated[str, also("-o")] = "explorer.html"
    """File of the page, which is replaced if it exists."""
    open: bool = True
    """Open the page in a browser; --no-open only writes it."""
    serve: bool = False
    """Answer the page's questions too (the derivative of any element), on this machine alone,
    until Ctrl-C. Needs pip install 'tinygrad-llm[web]'."""
    port: int = 8642
    """The port of --serve."""
    no_verify: bool = False
    """Use a run's files without comparing them with their checksums."""

    def __post_init__(self) -> None:
        if not 1 <= self.port <= 65535:
            raise UserError(f"port is {self.port}, but must be at least 1 and at most 65535")
        if self.model is None:
            for name in ("prompt", "steps"):
                if getattr(self, name) is not None:
                    raise UserError(f"--{name} needs a MODEL, such as runs/llama-tiny")
        elif self.graph is not None:
            raise UserError("--graph is a built-in graph: leave out MODEL, or --graph")
