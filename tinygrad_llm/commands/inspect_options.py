"""Options of ``inspect``, which looks into a model at work: at a row of training data, or a prompt.

A field without a default is a positional argument; the string below a field is its help.
"""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal

from tyro.conf import arg

from tinygrad_llm.commands.finetune_row_options import check_preference_loss
from tinygrad_llm.commands.text_options import also
from tinygrad_llm.config import check_count
from tinygrad_llm.errors import UserError

OF_ROWS = (
    "row kind neighbor completion_only_loss loss_type beta label_smoothing reference template "
    "max_length"
).split()
"""The options that only go with --data."""
OF_PROMPTS = "loss top position layers crop allow_special png json".split()
"""Those that only go with --prompt."""


@dataclass(frozen=True)
class InspectOptions:
    """Look into a model: what each layer predicts and where each head looks as it reads a prompt,
    or where the loss of a row of training data pushes it, token by token."""

    model: Annotated[str, arg(metavar="MODEL")]
    """A run (its best checkpoint is used), a checkpoint, a model directory of Hugging Face, a GGUF
    file or a name."""
    prompt: Annotated[str | None, also("-p")] = None
    """Text for the model to read; - reads it from standard input."""
    prompt_file: Annotated[str | None, also("-f")] = None
    """File with that text, in place of --prompt; - is standard input."""
    loss: Literal["last", "all"] = "last"
    """With --prompt: the loss whose gradient each token gets: that of the last token, or the mean
    over all."""
    top: int = 5
    """With --prompt: how many of the most likely tokens to keep at each layer and position."""
    position: int | None = None
    """With --prompt: the last position that the table of layers shows, from 0 on; None means that
    of the last token."""
    layers: tuple[int, ...] | None = None
    """With --prompt: layers whose attention maps are drawn, from 0 on; None means as many as a page
    can hold."""
    crop: bool = False
    """Keep the end of a prompt that is longer than the model's context, instead of saying so."""
    allow_special: bool = False
    """Names of special tokens in the prompt stand for these tokens; without it, they are text."""
    png: str | None = None
    """With --prompt: draw the layers to this file, too, and the heads to one next to it whose name
    has -heads before its ending."""
    json: bool = False
    """With --prompt: write one JSON object with all numbers, in place of the tables."""
    data: Annotated[str | None, arg(metavar="FILE")] = None
    """File of training data, as finetune sft and dpo take it, in place of a prompt."""
    row: int = 1
    """Number of the row in the file, from 1 on."""
    kind: Literal["auto", "sft", "dpo"] = "auto"
    """The loss: that of answers (sft) or of preferences (dpo); auto is dpo if the row has a chosen
    and a rejected answer."""
    neighbor: int | None = None
    """With sft: number of another row that is packed next to it, and whose labels do not count."""
    completion_only_loss: bool = True
    """With sft: only the answers count. With --no-completion-only-loss, the prompts, too."""
    loss_type: Literal["sigmoid", "sigmoid_norm", "hinge", "ipo", "ipo_sum", "orpo"] = "sigmoid"
    """With dpo: the loss, as in finetune dpo."""
    beta: float = 0.1
    """With dpo: how strongly the model is held to the reference."""
    label_smoothing: float = 0.0
    """With dpo: share of pairs whose answers are expected to be exchanged."""
    reference: str | None = None
    """With dpo: the reference model; None means MODEL without its adapter."""
    template: Literal["auto", "chat", "plain"] = "auto"
    """How the row is written: in the model's chat template, or as it is; auto is chat if the model
    has a template."""
    max_length: int = 1024
    """Longest row, in tokens, and at most the model's block_size."""
    adapter: Annotated[str | None, also("--adapter-path")] = None
    """Folder of a LoRA adapter, ours or PEFT's, for the model."""
    weights: Literal["float32", "int8", "as-stored"] = "float32"
    """Matrices in memory: float32, int8 (rounded, with a scale for each row), or as-stored: in the
    types of the file."""
    html: str | None = None
    """Write a page for a browser to this file, too."""
    no_verify: bool = False
    """Use a run's files without comparing them with their checksums."""

    @property
    def reads_a_prompt(self) -> bool:
        """Whether a prompt is given, and not a row."""
        return self.prompt is not None or self.prompt_file is not None

    def __post_init__(self) -> None:
        if self.prompt is not None and self.prompt_file is not None:
            raise UserError("prompt and prompt_file are both given: choose one of them")
        if self.data is None and not self.reads_a_prompt:
            raise UserError(
                "inspect needs a text, --prompt TEXT, or a row of training data: --data FILE, and "
                "--row N"
            )
        if self.data is not None and self.reads_a_prompt:
            raise UserError("data and a prompt are both given: choose one of them")
        foreign, given = (OF_ROWS, "a prompt") if self.data is None else (OF_PROMPTS, "--data")
        defaults: dict[str, Any] = {field.name: field.default for field in fields(self)}
        for name in foreign:
            if getattr(self, name) != defaults[name]:
                option = name.replace("_", "-")
                raise UserError(f"--{option} does not go with {given}: leave it out")
        self._check_numbers()

    def _check_numbers(self) -> None:
        for name in ("row", "max_length", "top"):
            check_count(name, getattr(self, name))
        for name, numbers in (("position", (self.position,)), ("layers", self.layers or ())):
            for number in numbers:
                if number is not None:
                    check_count(name, number, low=0)
        check_preference_loss(self.loss_type, self.beta, self.label_smoothing)
        if self.neighbor is not None:
            check_count("neighbor", self.neighbor)
            if self.neighbor == self.row:
                raise UserError(f"neighbor and row are both {self.row}: name another row")
