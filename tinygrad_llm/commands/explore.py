"""``tinygrad-llm explore``: a page that steps through a forward and a backward pass."""

import sys
import webbrowser
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import page
from autograd.debug.explorer.tape import Tape, record
from tinygrad_llm.commands.console import PlainConsole, make_console
from tinygrad_llm.commands.explore_options import ExploreOptions
from tinygrad_llm.commands.generate import default_prompt
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path, write_atomically
from tinygrad_llm.inspect.explorable import EXPLORABLE
from tinygrad_llm.inspect.learners_questions import QUESTIONS
from tinygrad_llm.machine.memory import physical_memory
from tinygrad_llm.terminal import typed_text

if TYPE_CHECKING:
    from tinygrad_llm.model import Model

FIRST = "gpt"
"""The built-in graph that the page begins with."""
OF_A_MODEL = ("twice", "residual")
"""The built-in graphs that stand next to a model's: on them a wrong order shows best."""
ARRAYS = 8
"""Arrays of a model's size that it takes to record a pass and prove it; float64 counts twice."""
CONTINUED = 16
"""Tokens that a model writes after its run's sample, where no prompt is given."""
MAPS = 500_000
"""Numbers of attention maps in the page of a model: 2 MB."""
TITLE = "Backward, step by step"

Graphs = dict[str, Tape]


def run(options: ExploreOptions) -> int:
    """Record, write the page, and open it."""
    console = make_console()
    if options.list:
        for name, title in titles().items():
            console.say(f"{name:16}{title}")
        return 0
    out = user_path(options.out)
    if out.exists() and not out.is_file():
        raise UserError(f"cannot write {out}: it is not a file; name another with --out")
    if options.serve:
        _check_port(options.port)
    with make_console(sys.stderr).progress("forward, backward, and their proof"):
        document, tapes = _of_model(options) if options.model else _built_in(options.graph)
    title = document.pop("title", TITLE)
    if options.serve:
        from autograd.debug.explorer.serve import ServeError, serve

        try:
            return serve(
                tapes, document, title, options.port, options.open, console.say, at(options)
            )
        except ServeError as error:
            raise UserError(str(error)) from None
    content = page(document, title)
    write_atomically(out, content.encode())
    console.say(f"page   {out}  ({len(content) / 1e6:.1f} MB, one file that needs nothing else)")
    if options.open:
        open_page(out.resolve().as_uri() + at(options), console, options.out)
    return 0


def _check_port(port: int) -> None:
    from autograd.debug.explorer.serve import ServeError, ready

    try:
        ready(port)
    except ServeError as error:
        raise UserError(str(error)) from None


def at(options: ExploreOptions) -> str:
    """The end of the page's address: its state."""
    return "" if options.at is None else "#" + options.at.removeprefix("#")


def open_page(address: str, console: PlainConsole, name: str) -> None:
    """Open an address in a browser; where there is none, say what to do."""
    try:
        opened = webbrowser.open(address)
    except webbrowser.Error:
        opened = False
    if not opened:
        console.say(f"there is no browser to open here: open {name} in one")


def titles() -> dict[str, str]:
    """The built-in graphs, each name with its title, in the order of a guided tour."""
    return {name: make().title for name, make in _all_built_in().items()}


def _all_built_in() -> dict[str, Callable[[], Any]]:
    gpt, *others = EXPLORABLE
    return {gpt: EXPLORABLE[gpt], **BUILTIN, **{name: EXPLORABLE[name] for name in others}}


def _built_in(first: str | None) -> tuple[dict[str, Any], Graphs]:
    """The page's document with every built-in graph, and their tapes."""
    known = _all_built_in()
    first = FIRST if first is None else first
    if first not in known:
        raise UserError(f"there is no built-in graph {first!r}: choose one of {', '.join(known)}")
    graphs, tapes = [], {}
    for name in sorted(known, key=lambda name: name != first):
        graph, tapes[name] = built_in(name)
        graphs.append(graph)
    questions = [
        {"question": question, "address": answer.address, "answer": answer.text}
        for question, answer in QUESTIONS.items()
    ]
    return {"graphs": graphs, "questions": questions}, tapes


def built_in(name: str) -> tuple[dict[str, Any], Tape]:
    """A built-in graph as data for the page, and its Tape."""
    made = _all_built_in()[name]()
    model, names = getattr(made, "model", None), getattr(made, "names", None)
    tape = record(made.loss, model, names)
    labels = getattr(made, "labels", None)
    return graph_document(tape, name, made.title, made.about, labels), tape


def _of_model(options: ExploreOptions) -> tuple[dict[str, Any], Graphs]:
    """The document of a model's loss on a prompt, and of its run's checkpoints."""
    from tinygrad_llm.commands.models import open_model
    from tinygrad_llm.commands.text_options import ModelOptions
    from tinygrad_llm.inspect.pushes import pieces
    from tinygrad_llm.inspect.reading import document as reading_document, read
    from tinygrad_llm.tokenizer.prompts import prompt_ids

    name = options.model
    assert name is not None
    run = None
    if options.steps is not None:  # first: a wrong --steps is said before the work
        from tinygrad_llm.commands.run_history import training_run

        run = training_run(name, options.steps, verify=not options.no_verify)
    prompt = default_prompt(name) if options.prompt is None else options.prompt
    if not prompt:
        raise UserError(f"{name} has no text of its own: pass one with --prompt")
    own = ModelOptions(weights="float32", no_verify=options.no_verify)
    model, tokenizer = open_model(name, own)
    model.eval()
    ids = np.array(prompt_ids(tokenizer, typed_text(prompt, "the prompt")))
    if options.prompt is None:
        new = max(0, min(CONTINUED, model.config.block_size - len(ids)))
        ids = model.generate(ids[None], new, do_sample=False, eos_token_id=())[0]
    _check(model, ids, name)
    inputs, targets = ids[None, :-1], ids[None, 1:]
    tape = record(lambda: model.loss(inputs, targets), model)
    texts = pieces(tokenizer, ids.tolist())
    short = user_path(name).name
    about = (
        f"The loss of {len(texts) - 1} predictions in a text, and its gradients through "
        f"{model.num_parameters():,} parameters. Large tensors are sampled; their statistics are "
        "of all elements."
    )
    graph = graph_document(
        tape, "model", short, about, {"tokens": texts[:-1], "targets": texts[1:]}
    )
    document: dict[str, Any] = {"title": f"{short}: {TITLE.lower()}", "graphs": [graph]}
    read_ids = ids[: model.config.block_size].tolist()
    reading = read(model, tokenizer, read_ids, of="all", most=MAPS)
    document["lens"] = reading_document(reading)
    tapes = {"model": tape}
    for small in OF_A_MODEL:
        graph, tapes[small] = built_in(small)
        document["graphs"].append(graph)
    if run is not None:
        document["run"] = run
    return document, tapes


def _check(model: "Model", ids: np.ndarray, name: str) -> None:
    """Raise UserError for a text without a prediction, one too long, and a model too large."""
    limit = model.config.block_size
    if len(ids) < 2:
        raise UserError(
            "the prompt is one token, so nothing in it is predicted: pass a longer --prompt"
        )
    if len(ids) - 1 > limit:
        raise UserError(
            f"the prompt has {len(ids):,} tokens, but {name} reads at most {limit:,} and predicts "
            "the next: shorten it"
        )
    needed, there = model.num_parameters() * 4 * ARRAYS, physical_memory()
    if there is not None and needed > there:
        raise UserError(
            f"{name} has {model.num_parameters():,} parameters: recording a pass takes about "
            f"{needed / 1e9:.0f} GB and this machine has {there / 1e9:.0f} GB; explore a smaller "
            "model, such as smollm2-135m-instruct"
        )
