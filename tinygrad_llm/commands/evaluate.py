"""``tinygrad-llm evaluate MODEL --data SOURCE``: how well a model predicts a text.

The numbers are those of ``eval --tasks perplexity``, without its folder of results. The sources are
those of ``train``, whose documents are scored as they are: nothing is cleaned.
"""

import io
import json

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.models import open_model
from tinygrad_llm.commands.options import EvaluateOptions
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.counts import counted
from tinygrad_llm.data import CleanReport, open_source
from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.requests import Answer, Request, Rolling, Score
from tinygrad_llm.training.evaluation import Evaluation, median_bits_per_byte

SHOWN = 3
"""How many of the documents that are hardest to predict are named."""


def run(options: EvaluateOptions) -> int:
    """Score the text and say loss, perplexity and bits per byte."""
    console = make_console(io.StringIO() if options.json else None)  # JSON alone, without progress
    source, report = open_source(options.data or "", options), CleanReport()
    names: list[str] = []
    requests: list[Request] = []
    for document in source.documents(report):
        names.append(document.name)
        requests.append(Rolling(document.text, options.window, options.stride, options.prefix))
    if report.dropped or report.notes:
        console.say(str(report))

    loading = ModelOptions(
        weights=options.weights, adapter=options.adapter, no_verify=options.no_verify
    )
    model, tokenizer = open_model(options.model, loading)
    answering = LanguageModel(model, tokenizer, batch_size=options.batch_size)
    found: dict[int, Answer] = {}
    with console.progress("documents") as progress:
        for answers in answering.answers(requests):
            found |= answers
            progress(len(found), len(requests))

    scores = [found[number] for number in range(len(requests))]
    parts = [
        Evaluation(-score.logp, score.n_tokens, score.n_bytes)
        for score in scores
        if isinstance(score, Score)
    ]
    total = Evaluation.total(parts)
    if not total.tokens:
        raise UserError(
            f"{source.name} has no token to predict: the first has no context (--prefix)"
        )
    if options.json:
        print(json.dumps(_as_json(total, dict(zip(names, parts, strict=True)))))
        return 0
    console.say(
        f"{total}\n{counted(total.tokens, 'token')}, {counted(total.bytes, 'byte')}, "
        f"{_windows(options)}"
    )
    scored = {n: p.bits_per_byte for n, p in zip(names, parts, strict=True) if p.bytes}
    if len(scored) > 1:
        hardest = sorted(scored, key=lambda name: -scored[name])[:SHOWN]
        console.say(
            f"{counted(len(scored), 'document')}, median {median_bits_per_byte(parts):.4f} bits "
            "per byte; hardest: " + ", ".join(f"{name} {scored[name]:.2f}" for name in hardest)
        )
    return 0


def _windows(options: EvaluateOptions) -> str:
    window = counted(options.window, "token") if options.window else "the model's context"
    stride = f"moved by {options.stride:,}" if options.stride else "which do not overlap"
    return f"windows of {window}, {stride}"


def _as_json(total: Evaluation, parts: dict[str, Evaluation]) -> dict[str, object]:
    def numbers(e: Evaluation) -> dict[str, float | None]:
        if not e.tokens:
            return {"tokens": 0, "bytes": e.bytes}
        return {
            "loss": e.loss, "perplexity": e.perplexity, "bits_per_byte": e.bits_per_byte,
            "tokens": e.tokens, "bytes": e.bytes,
        }  # fmt: skip

    return {**numbers(total), "documents": {name: numbers(p) for name, p in parts.items()}}
