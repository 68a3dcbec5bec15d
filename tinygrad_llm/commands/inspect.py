"""``tinygrad-llm inspect MODEL``: a look into a model, at a prompt or at a row of training data.

--prompt TEXT          what each layer predicts, where each head looks   (inspect_prompt.py)
--data FILE --row N    where the loss pushes the model
"""

import sys
from typing import TYPE_CHECKING, Any

from tinygrad_llm.commands import inspect_prompt
from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.inspect_options import InspectOptions
from tinygrad_llm.commands.models import open_model
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path, write_atomically
from tinygrad_llm.finetune.examples import encode_examples, encode_pairs
from tinygrad_llm.finetune.packing import joined
from tinygrad_llm.finetune.rows import Report, read_rows
from tinygrad_llm.inspect.page import page
from tinygrad_llm.inspect.pushes import Pushes, explain_pair, explain_sft
from tinygrad_llm.inspect.terminal_view import show

if TYPE_CHECKING:
    from tinygrad_llm.files.tables import Row
    from tinygrad_llm.model import Model
    from tinygrad_llm.tokenizer import Tokenizer

WIDTH = 100  # of the text where the output is no terminal
FLOAT32 = ModelOptions(weights="float32")


def run(options: InspectOptions) -> int:
    """Look, show what there is to see, and write the page."""
    return inspect_prompt.run(options) if options.reads_a_prompt else _inspect_row(options)


def _inspect_row(options: InspectOptions) -> int:
    from rich.console import Console

    rows = read_rows(str(options.data))
    row = _row(rows, options.row, options)
    kind = options.kind
    if kind == "auto":
        kind = "dpo" if {"chosen", "rejected"} <= set(row.values) else "sft"
    _check(options, kind)
    own = ModelOptions(
        weights=options.weights, adapter=options.adapter, no_verify=options.no_verify
    )
    model, tokenizer = open_model(options.model, own, merge_last=False)
    with make_console(sys.stderr).progress("forward and backward"):
        if kind == "sft":
            pushes = _sft(options, model, tokenizer, rows)
        else:
            pushes = _dpo(options, model, tokenizer, row)
    width = None if sys.stdout.isatty() else WIDTH
    console = Console(width=width, markup=False, highlight=False, emoji=False)
    show(pushes, console)
    if options.html is not None:
        out = user_path(options.html)
        file = user_path(str(options.data)).name
        title = f"{user_path(options.model).name}, row {options.row} of {file}"
        write_atomically(out, page(pushes, title).encode())
        console.print(f"page: {out}", soft_wrap=True)
    return 0


def _check(options: InspectOptions, kind: str) -> None:
    """Raise UserError for options of the other kind."""
    foreign = ("neighbor",) if kind == "dpo" else ("reference",)
    for name in foreign:
        if getattr(options, name) is not None:
            raise UserError(f"--{name} does not go with --kind {kind}: leave it out")


def _row(rows: list["Row"], number: int, options: InspectOptions) -> "Row":
    if number > len(rows):
        raise UserError(f"{options.data} has {len(rows):,} rows, so there is no row {number:,}")
    return rows[number - 1]


def _encoded(
    encode: Any,
    row: "Row",
    model: "Model",
    tokenizer: "Tokenizer",
    options: InspectOptions,
    **more: Any,
) -> Any:
    """What ``encode`` makes of the row. Raises UserError if that is nothing."""
    as_chat = options.template == "chat" or (
        options.template == "auto" and tokenizer.conventions.chat_template is not None
    )
    report = Report()
    length = min(options.max_length, model.config.block_size)
    found = encode([row], tokenizer, length, report, as_chat=as_chat, **more)
    if not found:
        raise UserError(f"{row.place} teaches nothing: {next(iter(report.dropped))}")
    return found[0]


def _sft(
    options: InspectOptions, model: "Model", tokenizer: "Tokenizer", rows: list["Row"]
) -> Pushes:
    numbers = [options.row] if options.neighbor is None else [options.row, options.neighbor]
    examples = [
        _encoded(
            encode_examples, _row(rows, number, options), model, tokenizer, options,
            completion_only=options.completion_only_loss,
        )
        for number in numbers
    ]  # fmt: skip
    if options.neighbor is None:
        return explain_sft(model, tokenizer, examples[0])
    length = sum(len(example.ids) for example in examples)
    if length > model.config.block_size:
        raise UserError(
            f"rows {options.row} and {options.neighbor} have {length:,} tokens together, more than "
            f"the model reads at once, {model.config.block_size:,}: choose shorter ones"
        )
    return explain_sft(model, tokenizer, joined(examples), document=0)


def _dpo(options: InspectOptions, model: "Model", tokenizer: "Tokenizer", row: "Row") -> Pushes:
    reference = None
    if options.reference is not None:
        reference, its_tokenizer = open_model(options.reference, FLOAT32)
        if its_tokenizer.fingerprint() != tokenizer.fingerprint():
            raise UserError(
                f"the reference {options.reference} has another tokenizer than {options.model}: "
                "the two do not read the same tokens"
            )
    pair = _encoded(encode_pairs, row, model, tokenizer, options)
    return explain_pair(
        model, tokenizer, pair, reference=reference, loss_type=options.loss_type,
        beta=options.beta, label_smoothing=options.label_smoothing,
    )  # fmt: skip
