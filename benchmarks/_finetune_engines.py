"""The engines that finetune.py compares: a step of SFT or DPO, and answers for GRPO, in each.

Every engine reads the same folder: a model directory of Hugging Face, an adapter in PEFT's format,
``work.json`` with the sizes, and ``rows.npz`` with the ids and labels that each step takes, padded
on the right, which a causal model needs no mask for. A step is forward, backward, clipping of the
global norm to 1, and AdamW. Ours runs the trainer's method that ``tinygrad-llm finetune`` calls.

PyTorch's part is written for speed: fused attention and optimizer, and the output layer only where
a label counts, which the model's own loss would compute everywhere. It starts from the same
adapter, so the losses must be the same.
"""

import json
import time
from pathlib import Path

import numpy as np
from _machine import forget_peak_rss, peak_rss
from _workers import use_project_as_command

LR, CLIP, BETA = 1e-4, 1.0, 0.1
IGNORE = -100
WARM_UP = 3


class Work:
    """What a folder holds: sizes as attributes, and the rows of step i as ``batch(i)``."""

    def __init__(self, folder):
        self.folder = Path(folder)
        vars(self).update(json.loads((self.folder / "work.json").read_text()))
        with np.load(self.folder / "rows.npz") as file:
            self.arrays = dict(file)
        self.lora = self.kind != "full"

    def batch(self, i):
        """(ids, labels, log-probabilities of the reference), (R, T) and (R,); R rows are a step.

        Of a pair, the chosen answer is in the first half of the rows, the rejected in the second.
        """
        i %= self.n_batches
        return tuple(self.arrays[f"{name}{i}"] for name in ("ids", "labels", "reference"))


class Ours:
    """This project."""

    def __init__(self, work):
        use_project_as_command()
        from tinygrad_llm.finetune.lora import load_adapter
        from tinygrad_llm.pretrained import load_pretrained

        self.work, self.done = work, 0
        self.model, _ = load_pretrained(work.folder / "model")
        if work.lora:
            load_adapter(self.model, work.folder / "adapter")
        self.label = f"numpy {np.__version__}"
        if work.kind != "grpo":
            self.trainer = self._trainer(self.model.train())

    def _trainer(self, model):
        from tinygrad_llm.config import TrainConfig
        from tinygrad_llm.finetune.examples import Example
        from tinygrad_llm.finetune.preferences import Pairs, Preferences
        from tinygrad_llm.finetune.sft import SFT
        from tinygrad_llm.model.freezing import trainable_parameters
        from tinygrad_llm.training.optim import AdamW
        from tinygrad_llm.training.trainer import Trainer

        examples, reference = [], []
        for i in range(self.work.n_batches):
            ids, labels, logps = self.work.batch(i)
            lengths = self.work.arrays[f"lengths{i}"]
            rows = [Example(ids[r, :n], labels[r, :n]) for r, n in enumerate(lengths)]
            examples.append(rows)
            reference.append(logps)
        options = {"batch_size": self.work.B, "log_every": 10**9}  # metrics of the logits: off
        if self.work.kind == "dpo":
            B = self.work.B
            pairs = Pairs(
                [row for rows in examples for row in rows[:B]],
                [row for rows in examples for row in rows[B:]],
                np.concatenate([logps.reshape(2, B) for logps in reference], axis=1),
            )
            task = Preferences(model, pairs, pairs, beta=BETA, **options)
        else:
            flat = [row for rows in examples for row in rows]
            task = SFT(model, flat, flat, **options)
        task.order = InOrder(self.work.B * self.work.n_batches)
        # a constant learning rate
        loop = TrainConfig(steps=10**9, lr=LR, warmup_steps=0, min_lr_ratio=1.0, grad_clip=CLIP)
        optimizer = AdamW(trainable_parameters(model), LR, weight_decay=0.0)
        return Trainer(model, task, optimizer, loop, checkpoints=None, metrics=None, console=None)

    def step(self):
        return self.trainer.train_step()["loss"]

    def answers(self):
        """The ids (R, n) that are sampled after the prompts; the adapter is merged for that."""
        from tinygrad_llm.finetune.lora import merged
        from tinygrad_llm.generation.decoder import Decoder
        from tinygrad_llm.generation.generate import generate

        work, self.done = self.work, self.done + 1
        model = self.model.eval()
        with merged(model):
            steps = generate(
                Decoder(model), work.arrays["prompts"], work.new, n=work.group, seed=self.done
            )
            return np.stack(list(steps), axis=1)


class InOrder:
    """An order of rows that is not shuffled, so that every engine takes the same ones."""

    epoch = 0

    def __init__(self, rows):
        self.rows, self.position = rows, 0

    def next(self, n):
        numbers = (self.position + np.arange(n)) % self.rows
        self.position += n
        return numbers


class Torch:
    """transformers, and PEFT if there is an adapter, in float32."""

    def __init__(self, work):
        import torch
        import transformers

        self.torch, self.work, self.done = torch, work, 0
        transformers.logging.set_verbosity_error()
        self.label = f"torch {torch.__version__}, transformers {transformers.__version__}"
        model = transformers.AutoModelForCausalLM.from_pretrained(
            work.folder / "model", dtype=torch.float32
        )
        self.lm = model
        if work.lora:
            import peft

            self.label += f", peft {peft.__version__}"
            model = peft.PeftModel.from_pretrained(
                model, work.folder / "adapter", is_trainable=True
            )
        self.label += f", {torch.get_num_threads()} threads"
        self.model = model
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, LR, weight_decay=0.0, fused=True)

    def step(self):
        torch, work = self.torch, self.work
        self.model.train()
        ids, labels, reference = map(torch.from_numpy, work.batch(self.done))
        self.done += 1
        loss = self.loss(ids, labels, reference)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    def loss(self, ids, labels, reference):
        from torch.nn import functional as F

        counts = labels != IGNORE
        h = self.lm.model(input_ids=ids, use_cache=False).last_hidden_state  # (R, T, C)
        logits = self.lm.lm_head(h[counts])  # (N, V)
        if self.work.kind != "dpo":
            return F.cross_entropy(logits, labels[counts])
        logps = -F.cross_entropy(logits, labels[counts], reduction="none")  # (N,)
        rows = counts.nonzero()[:, 0]
        sums = self.torch.zeros(len(ids)).index_add(0, rows, logps)  # (R,)
        chosen, rejected = (sums - reference.float()).chunk(2)
        return -F.logsigmoid(BETA * (chosen - rejected)).mean()

    def answers(self):
        torch, work = self.torch, self.work
        self.done += 1
        torch.manual_seed(self.done)
        self.model.eval()
        prompts = torch.from_numpy(work.arrays["prompts"].repeat(work.group, axis=0))
        self.model.merge_adapter()
        with torch.inference_mode():
            ids = self.lm.generate(
                prompts, attention_mask=torch.ones_like(prompts), do_sample=True, temperature=1.0,
                top_k=0, top_p=1.0, repetition_penalty=1.0, max_new_tokens=work.new,
                min_new_tokens=work.new, pad_token_id=0,
            )  # fmt: skip
        self.model.unmerge_adapter()
        return ids[:, prompts.shape[1] :].numpy()


ENGINES = {"ours": Ours, "torch": Torch, "torch-avx512": Torch}


def prepare(name, folder):
    """The worker of an engine: its first message, after the warm-up, and what answers."""
    work = Work(folder)
    engine = ENGINES[name](work)
    losses = []
    if work.kind == "grpo":
        engine.answers()
    else:
        losses = [engine.step() for _ in range(WARM_UP)]
    forget_peak_rss()

    def answer(what):
        if what == "rss":
            return peak_rss()
        start = time.perf_counter()
        if work.kind == "grpo":
            found = engine.answers()
            assert found.shape == (len(work.arrays["prompts"]) * work.group, work.new)
            assert found.min() >= 0
        else:
            engine.step()
        return time.perf_counter() - start

    return {"label": engine.label, "losses": losses}, answer
