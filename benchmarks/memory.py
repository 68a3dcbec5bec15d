"""What a training step keeps for backward, operation by operation, and what recomputing it saves.

    python benchmarks/memory.py --config small
    python benchmarks/memory.py --model smollm2-135m-instruct

The tape is what the graph holds from forward until backward. Each array counts once, for the first
operation that keeps it; parameters do not count. The total is compared with the figure that
``model.summary()`` computes from the shape alone. The same step is then run with
``recompute=True``, which keeps only the input of every block and computes the block again in
backward. And it is run with LoRA on every linear layer of the blocks, whose base is float32, int8
or, with a GGUF file as --model, quantized as it is stored there. All take turns in processes of
their own, since each would reuse the other's memory.
"""

import argparse
import statistics
import time
from collections import Counter

from _machine import (
    add_json_option,
    environment,
    forget_peak_rss,
    peak_rss,
    say_environment,
    table,
    write_json,
)
from _train_engines import CONFIGS, Config, gpt_config, one_step
from _workers import Worker, serve, use_project, use_project_as_command

KINDS = {
    "kept": "float32",
    "recomputed": "float32",
    "LoRA": "float32",
    "LoRA on int8": "int8",
    "LoRA as stored": "as-stored",
}
"""What is trained, or how, with the form of the model's weights."""
RANK = 16


def build(config, path, kind):
    """The model of a kind: that of the file ``path``, or if it is None, a random GPT-2."""
    from tinygrad_llm.finetune.lora import add_lora
    from tinygrad_llm.model.gpt import GPT
    from tinygrad_llm.model.quantize import quantize_model
    from tinygrad_llm.pretrained import load_pretrained

    if path is not None:
        model, _ = load_pretrained(path, weights=KINDS[kind])
    else:
        model = GPT(gpt_config(config))
        if KINDS[kind] == "int8":
            quantize_model(model)
    model.train().recompute = kind == "recomputed"
    return add_lora(model, min(RANK, model.config.n_embd), 2 * RANK) if "LoRA" in kind else model


def prepare(config, path, T, kind):
    """A worker that trains one model and answers with the time and memory of its steps."""
    use_project_as_command()
    from autograd.debug import profile
    from tinygrad_llm.model.freezing import training_cost
    from tinygrad_llm.model.summary import activation_floats

    model = build(config, path, kind)
    if path is not None:
        c = model.config
        config = Config(c.n_layer, c.n_head, c.n_embd, c.vocab_size, B=1, T=T, block=c.block_size)
    step = one_step(model, config)
    step()
    with profile() as observed:
        step()
    forget_peak_rss()
    held, calls = Counter(), Counter()
    for op, _, size in observed.peak.holders:
        held[op] += size
    for op, row in observed.rows().items():
        calls[op] = row.calls
    hello = {
        "config": vars(config),
        "peak": observed.peak.bytes,
        "held": dict(held),
        "calls": dict(calls),
        "derived": 4 * activation_floats(model.config) * config.B * config.T,
        "cost": training_cost(model)._asdict(),
    }

    def answer(steps):
        times = []
        for _ in range(steps):
            begun = time.perf_counter()
            step()
            times.append(time.perf_counter() - begun)
        return {"seconds": times, "peak_rss": peak_rss()}

    return hello, answer


def megabytes(n):
    return f"{n / 1e6:,.1f} MB"


def report(config, hello, rss, seconds):
    tokens = config.B * config.T
    kept = hello["kept"]
    rows = [("operation", "calls", "held at the peak", "share", "bytes per token")]
    rows += [
        (op, kept["calls"][op], megabytes(n), f"{n / kept['peak']:.1%}", f"{n / tokens:,.0f}")
        for op, n in sorted(kept["held"].items(), key=lambda item: -item[1])
    ]
    rows.append(("total", "", megabytes(kept["peak"]), "", f"{kept['peak'] / tokens:,.0f}"))
    print("\n" + table(rows))
    print(f"computed from the shape: {megabytes(kept['derived'])}")
    state = kept["cost"]["weight_bytes"] + kept["cost"]["training_bytes"]
    print(f"weights, gradients and AdamW's moments: {megabytes(state)}\n")
    rows = [("blocks are, or LoRA", "trained parameters", "weights", "their training",
             "tape at its peak", "peak resident memory", "tokens/s")]  # fmt: skip
    for kind, one in hello.items():
        cost, rate = one["cost"], tokens / statistics.median(seconds[kind])
        sizes = cost["weight_bytes"], cost["training_bytes"], one["peak"], rss[kind]
        rows.append((kind, f"{cost['trained']:,}", *map(megabytes, sizes), f"{rate:,.0f}"))
    print(table(rows))
    print("their training: gradients and AdamW's moments")
    less = hello["recomputed"]["peak"] / kept["peak"]
    print(f"recomputing keeps {less:.1%} of the tape")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="small")
    parser.add_argument("--model", help="a pretrained model, in place of --config")
    parser.add_argument("--length", type=int, default=256, help="tokens of a step of --model")
    parser.add_argument("--turns", type=int, default=3)
    add_json_option(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.config, options.turns = "smoke", 1
    if options.serve:
        config = CONFIGS[options.config]
        return serve(lambda: prepare(config, options.model, options.length, options.serve))
    path = None
    if options.model is not None:
        use_project()
        from tinygrad_llm.pretrained.names import find_model

        path = find_model(options.model)
    about = environment()
    say_environment(about)
    stored = path is not None and path.is_file()
    kinds = [kind for kind, weights in KINDS.items() if weights != "as-stored" or stored]
    model = [] if path is None else ["--model", path, "--length", options.length]
    workers = {}
    seconds, rss = {kind: [] for kind in kinds}, {}
    try:
        for kind in kinds:
            workers[kind] = Worker(__file__, "--config", options.config, *model, "--serve", kind)
        for _ in range(options.turns):
            for kind, worker in workers.items():
                answer = worker.ask(steps=2)
                seconds[kind] += answer["seconds"]
                rss[kind] = answer["peak_rss"]
    finally:
        for worker in workers.values():
            worker.stop()
    hello = {kind: worker.hello for kind, worker in workers.items()}
    config = Config(**hello["kept"]["config"])
    print(f"{options.model or options.config}: {config}")
    report(config, hello, rss, seconds)
    content = {"config": vars(config), "tape": hello, "peak_rss_bytes": rss,
               "seconds": seconds, "environment": about}  # fmt: skip
    write_json(content, options.json)


if __name__ == "__main__":
    main()
