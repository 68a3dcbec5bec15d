"""``tinygrad-llm evaluate MODEL --data FILE``: how well a model predicts a text.

The same numbers as of ``eval --tasks perplexity``, by the same code, without its folder of results.
"""

import io
import json
import statistics

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.models import open_model
from tinygrad_llm.commands.options import EvaluateOptions
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.perplexity import Perplexity
from tinygrad_llm.evals.requests import Answer, Request, Score
from tinygrad_llm.files import user_path
from tinygrad_llm.training.evaluation import Evaluation

SHOWN = 3
"""How many of the documents that are hardest to predict are named."""


def run(options: EvaluateOptions) -> int:
    """Score the text and say loss, perplexity and bits per byte."""
    console = make_console(io.StringIO() if options.json else None)  # JSON alone, without progress
    path = user_path(options.data or "")
    if not path.exists():
        raise UserError(f"there is no file or folder {path}: --data names the text to predict")
    task = Perplexity(options.window, options.stride, options.prefix)
    documents = task.documents(path)
    requests: list[Request] = [one for d in documents for one in task.requests(d, ())]

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
    total = Evaluation(*(sum(getattr(p, k) for p in parts) for k in ("nats", "tokens", "bytes")))
    if not total.tokens:
        raise UserError(f"{path} has no token to predict: the first has no context (--prefix)")
    names = [str(document.fields["file"]) for document in documents]
    if options.json:
        print(json.dumps(_as_json(total, dict(zip(names, parts, strict=True)))))
        return 0
    console.say(f"{total}\n{total.tokens:,} tokens, {total.bytes:,} bytes, {_windows(options)}")
    scored = {n: p.bits_per_byte for n, p in zip(names, parts, strict=True) if p.bytes}
    if len(scored) > 1:
        hardest = sorted(scored, key=lambda name: -scored[name])[:SHOWN]
        console.say(
            f"{len(scored):,} documents, median {statistics.median(scored.values()):.4f} bits per "
            "byte; hardest: " + ", ".join(f"{name} {scored[name]:.2f}" for name in hardest)
        )
    return 0


def _windows(options: EvaluateOptions) -> str:
    window = f"{options.window:,} tokens" if options.window else "the model's context"
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
