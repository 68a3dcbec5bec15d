"""What a training step keeps for backward, operation by operation, and what recomputing it saves.

    python benchmarks/memory.py --config small

The tape is what the graph holds from forward until backward. Each array counts once, for the first
operation that keeps it; parameters do not count. The total is compared with the figure that
``model.summary()`` computes from the shape alone. The same step is then run with
``recompute=True``, which keeps only the input of every block and computes the block again in
backward. The two take turns in processes of their own, since each would reuse the other's memory.
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
from _train_engines import CONFIGS, gpt_config, one_step
from _workers import Worker, serve, use_project_as_command

KINDS = ("kept", "recomputed")


def prepare(config, kind):
    """A worker that trains one model and answers with the time and memory of its steps."""
    use_project_as_command()
    from autograd.debug import profile
    from tinygrad_llm.model.gpt import GPT
    from tinygrad_llm.model.summary import activation_floats

    shape = gpt_config(config)
    model = GPT(shape, recompute=kind == "recomputed")
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
        "peak": observed.peak.bytes,
        "held": dict(held),
        "calls": dict(calls),
        "derived": 4 * activation_floats(shape) * config.B * config.T,
        "state": 16 * model.num_parameters(),
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
    print(f"weights, gradients and AdamW's moments: {megabytes(kept['state'])}\n")
    rows = [("blocks are", "tape at its peak", "peak resident memory", "tokens/s")]
    for kind in KINDS:
        rate = tokens / statistics.median(seconds[kind])
        rows.append((kind, megabytes(hello[kind]["peak"]), megabytes(rss[kind]), f"{rate:,.0f}"))
    print(table(rows))
    less = hello["recomputed"]["peak"] / kept["peak"]
    print(f"recomputing keeps {less:.1%} of the tape")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--config", choices=CONFIGS, default="small")
    parser.add_argument("--turns", type=int, default=3)
    add_json_option(parser)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.config, options.turns = "smoke", 1
    config = CONFIGS[options.config]
    if options.serve:
        return serve(lambda: prepare(config, options.serve))
    about = environment()
    say_environment(about)
    print(f"{options.config}: {config}")
    workers = {}
    seconds, rss = {kind: [] for kind in KINDS}, {}
    try:
        for kind in KINDS:
            workers[kind] = Worker(__file__, "--config", options.config, "--serve", kind)
        for _ in range(options.turns):
            for kind, worker in workers.items():
                answer = worker.ask(steps=2)
                seconds[kind] += answer["seconds"]
                rss[kind] = answer["peak_rss"]
    finally:
        for worker in workers.values():
            worker.stop()
    hello = {kind: worker.hello for kind, worker in workers.items()}
    report(config, hello, rss, seconds)
    content = {"config": vars(config), "tape": hello, "peak_rss_bytes": rss,
               "seconds": seconds, "environment": about}  # fmt: skip
    write_json(content, options.json)


if __name__ == "__main__":
    main()
