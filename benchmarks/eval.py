"""MMLU items per second, next to transformers with the same batches.

    python benchmarks/eval.py FOLDER --data DIR       # a model directory, and MMLU as eval takes it

Both score the same letters after the same examples. transformers reads whole prompts, padded on the
left, and takes the logits of the last place: one pass for all four letters, as here. "shared" lets
it read the examples of a subject once, too, and continue copies of their keys and values. Rounds
alternate, and the fastest of each counts.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
import transformers

from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.runner import Settings, flat, prepare
from tinygrad_llm.evals.tasks import TASKS
from tinygrad_llm.machine.process import keep_freed_memory, let_blas_sleep
from tinygrad_llm.pretrained import load_pretrained


class Theirs:
    """transformers' model, which answers pairs of ids."""

    def __init__(self, folder, batch_size, shared):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.batch_size, self.shared = batch_size, shared

    @torch.inference_mode()
    def run(self, prompts, letters):
        """log p of the letters after each prompt, (N, 4); prompts of one subject."""
        found = np.zeros((len(prompts), len(letters)))
        order = sorted(range(len(prompts)), key=lambda i: -len(prompts[i]))
        start = self._common(prompts) if self.shared else 0
        for i in range(0, len(order), self.batch_size):
            some = order[i : i + self.batch_size]
            rests = [prompts[j][start:] for j in some]
            longest = max(map(len, rests))
            ids = torch.tensor([[0] * (longest - len(r)) + r for r in rests])
            mask = torch.tensor([[0] * (longest - len(r)) + [1] * len(r) for r in rests])
            options = {}
            if start:
                if i == 0:
                    prefix = torch.tensor([prompts[0][:start]])
                    self.keys = self.model(prefix, use_cache=True).past_key_values
                cache = transformers.DynamicCache()
                for layer, (keys, values) in enumerate(_layers(self.keys)):
                    n = len(some)
                    cache.update(keys.expand(n, -1, -1, -1), values.expand(n, -1, -1, -1), layer)
                mask = torch.cat([torch.ones(len(some), start, dtype=torch.long), mask], 1)
                positions = (mask.cumsum(-1) - 1)[:, start:]
                options = {"past_key_values": cache, "position_ids": positions.clamp(min=0)}
            logits = self.model(ids, attention_mask=mask, logits_to_keep=1, **options).logits
            found[some] = logits[:, -1].log_softmax(-1)[:, letters].double().numpy()
        return found

    @staticmethod
    def _common(prompts):
        first, last = min(prompts), max(prompts)
        return next(i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)


def _layers(cache):
    return [(layer.keys, layer.values) for layer in cache.layers]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--data", required=True)
    parser.add_argument("--limit", type=int, default=8, help="items of each subject")
    parser.add_argument("--subjects", type=int, default=1)
    parser.add_argument("--shots", type=int, nargs="+", default=[0, 5])
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    keep_freed_memory()
    let_blas_sleep()
    model, tokenizer = load_pretrained(options.model)
    theirs = {
        name: Theirs(options.model, options.batch_size, name.endswith("shared"))
        for name in ("transformers", "transformers, shared")
    }
    for n_shots in options.shots:
        measure(options, n_shots, model, tokenizer, theirs)


def measure(options, n_shots, model, tokenizer, theirs):
    """Print the items per second of all, for so many examples."""
    task = TASKS["mmlu"]
    ours = LanguageModel(model, tokenizer, batch_size=options.batch_size)
    settings = Settings(options.limit, n_shots)
    items = prepare(task, Path(options.data), settings, ours)
    groups = list(dict.fromkeys(item.document.group for item in items))[: options.subjects]
    items = [item for item in items if item.document.group in groups]
    letters = [ours.encoder.pair(request).continuation[0] for request in items[0].requests]
    prompts = [
        [ours.encoder.pair(item.requests[0]).context for item in items if item.document.group == g]
        for g in groups
    ]
    best, scores = {}, {}
    for _ in ours.answers(items[0].requests):  # kernels are compiled or loaded
        pass
    for model_of_theirs in theirs.values():
        model_of_theirs.run(prompts[0][:2], letters)
    for _ in range(options.rounds):
        begin = time.perf_counter()
        fresh = LanguageModel(
            model, tokenizer, batch_size=options.batch_size
        )  # with an empty cache
        answers = {}
        for some in fresh.answers(flat(items)):
            answers |= some
        keep(best, "tinygrad-llm", begin)
        scores["tinygrad-llm"] = np.array([answers[i].logp for i in range(len(answers))])
        for name, model_of_theirs in theirs.items():
            begin = time.perf_counter()
            found = [model_of_theirs.run(some, letters) for some in prompts]
            keep(best, name, begin)
            scores[name] = np.concatenate(found).ravel()
    tokens = sum(len(p) for some in prompts for p in some) / len(items)
    print(f"MMLU, {n_shots} shots: {len(items)} items of {tokens:.0f} tokens, batches of "
          f"{options.batch_size}")  # fmt: skip
    for name, seconds in best.items():
        ratio = best[name] / best["tinygrad-llm"]
        apart = np.abs(scores[name] - scores["tinygrad-llm"]).max()
        print(f"  {name:<22} {len(items) / seconds:7.2f} items/s   {ratio:5.2f} x our time   "
              f"log p within {apart:.1e}")  # fmt: skip


def keep(best, name, begin):
    """Remember the fastest round."""
    best[name] = min(best.get(name, np.inf), time.perf_counter() - begin)


if __name__ == "__main__":
    main()
