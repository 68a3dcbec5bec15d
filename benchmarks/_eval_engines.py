"""The engines that eval.py compares: each answers the same prompts, which it reads from a file.

work.json, by name of the work:

    mmlu K     "contexts": texts; "prompts": their ids; "groups": their subjects; "choices": the
               four letters; "letters": the ids of these
    gsm8k      "contexts", "prompts" and "groups"; "tokens": how many ids each answer has
    lm-eval K  "rows": by subject and split, the rows of MMLU; "shots": K

An engine has three methods. ``score`` answers with log p of the letters (N, 4), ``write`` with N
texts, and ``harness`` lets lm-evaluation-harness ask for log p (N, 4). All return seconds, too.

NumPy is not imported here: ``Ours`` sets up the process before.
"""

import json
import time
from pathlib import Path

from _workers import use_project_as_command


class Ours:
    """This project: ``weights`` is float32 or int8."""

    def __init__(self, folder, weights, batch_size):
        use_project_as_command()
        from tinygrad_llm.pretrained import load_pretrained

        self.model, self.tokenizer = load_pretrained(folder, weights=weights)
        self.batch_size = batch_size

    def _fresh(self):
        """A language model that has encoded nothing yet."""
        from tinygrad_llm.evals.language_model import LanguageModel

        return LanguageModel(self.model, self.tokenizer, batch_size=self.batch_size)

    def _answers(self, requests):
        """The answers in order, and the seconds since the prompts are encoded."""
        model, found = self._fresh(), {}
        model.check(requests)  # encodes them
        begin = time.perf_counter()
        for some in model.answers(requests):
            found |= some
        seconds = time.perf_counter() - begin
        return seconds, [found[number] for number in range(len(requests))]

    def score(self, work):
        from tinygrad_llm.evals.requests import Loglikelihood

        asked = [Loglikelihood(c, a) for c in work["contexts"] for a in work["choices"]]
        seconds, answers = self._answers(asked)
        log_ps, n = [answer.logp for answer in answers], len(work["choices"])
        return seconds, [log_ps[i : i + n] for i in range(0, len(log_ps), n)]

    def write(self, work):
        from tinygrad_llm.evals.requests import Generation

        asked = [Generation(context, (), work["tokens"]) for context in work["contexts"]]
        seconds, answers = self._answers(asked)
        assert all(answer.n_tokens == work["tokens"] for answer in answers)
        return seconds, [answer.text for answer in answers]

    def harness(self, work):
        from tinygrad_llm.evals.lm_eval_model import LMEvalModel

        return ask_in_harness(LMEvalModel(self._fresh()), work)


class Transformers:
    """transformers' model in float32. Prompts of a batch are padded on the left.

    shared: what the prompts of a group have in common is read once, and its keys and values are
    copied for each batch; padding comes after them. transformers does not do this by itself.
    """

    def __init__(self, folder, batch_size):
        import torch
        import transformers

        transformers.logging.set_verbosity_error()
        transformers.utils.logging.disable_progress_bar()
        self.torch, self.transformers = torch, transformers
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
        self.model.generation_config.eos_token_id = None  # every answer has the same length
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        self.batch_size = batch_size

    def score(self, work, shared=False):
        letters = work["letters"]
        found = [[]] * len(work["prompts"])
        begin = time.perf_counter()
        with self.torch.inference_mode():
            for numbers, ids, mask, cache, start in self._batches(work, shared):
                positions = (mask.cumsum(1) - 1).clamp(min=0)
                z = self.model(
                    ids[:, start:], attention_mask=mask, position_ids=positions[:, start:],
                    past_key_values=cache, use_cache=bool(start), logits_to_keep=1,
                ).logits[:, -1]  # fmt: skip
                log_ps = z.log_softmax(-1)[:, letters].tolist()
                for number, row in zip(numbers, log_ps, strict=True):
                    found[number] = row
        return time.perf_counter() - begin, found

    def write(self, work, shared=False):
        texts = [""] * len(work["prompts"])
        begin = time.perf_counter()
        with self.torch.inference_mode():
            for numbers, ids, mask, cache, _ in self._batches(work, shared):
                options = {"past_key_values": cache} if cache is not None else {}
                whole = self.model.generate(
                    ids, attention_mask=mask, max_new_tokens=work["tokens"], do_sample=False,
                    pad_token_id=0, **options,
                )  # fmt: skip
                new = whole[:, ids.shape[1] :]
                assert new.shape[1] == work["tokens"]
                written = self.tokenizer.batch_decode(new, clean_up_tokenization_spaces=False)
                for number, text in zip(numbers, written, strict=True):
                    texts[number] = text
        return time.perf_counter() - begin, texts

    def harness(self, work):
        from lm_eval.models.huggingface import HFLM

        model = HFLM(self.model, tokenizer=self.tokenizer, batch_size=self.batch_size)
        return ask_in_harness(model, work)

    def _batches(self, work, shared):
        """Prompts of similar length: their numbers, ids, mask, cache, and the cached tokens."""
        prompts, torch = work["prompts"], self.torch
        groups = work["groups"] if shared else [""] * len(prompts)
        for group in dict.fromkeys(groups):
            members = [i for i, of in enumerate(groups) if of == group]
            start = common([prompts[i] for i in members]) if shared else 0
            if start:
                ids = torch.tensor([prompts[members[0]][:start]])
                read = self.model(ids, use_cache=True, logits_to_keep=1).past_key_values
            members.sort(key=lambda i: -len(prompts[i]))
            for i in range(0, len(members), self.batch_size):
                numbers = members[i : i + self.batch_size]
                rows = [prompts[j] for j in numbers]
                ids = self._padded(rows, start)
                mask = self._padded([[1] * len(row) for row in rows], start)
                cache = self._copies(read, len(numbers)) if start else None
                yield numbers, ids, mask, cache, start

    def _padded(self, rows, start):
        """Rows as a tensor, the longest first: zeros make them equally long, from ``start`` on."""
        longest = len(rows[0])
        padded = [[*row[:start], *[0] * (longest - len(row)), *row[start:]] for row in rows]
        return self.torch.tensor(padded)

    def _copies(self, read, n):
        """The keys and values of one row for each of n rows."""
        cache = self.transformers.DynamicCache()
        for number, layer in enumerate(read.layers):
            keys, values = (a.expand(n, -1, -1, -1) for a in (layer.keys, layer.values))
            cache.update(keys, values, number)
        return cache


def common(prompts):
    """How many ids all prompts begin with, their last ids aside."""
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    return next((i for i in range(most) if first[i] != last[i]), most)


def ask_in_harness(model, work):
    """Seconds that lm-evaluation-harness takes for MMLU with one of its models, and log p (N, 4).

    The tasks are made from its own files, with rows from ours.
    """
    import lm_eval
    from datasets import Dataset, DatasetDict
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks import TaskManager
    from lm_eval.tasks._yaml_loader import load_yaml

    folder = Path(lm_eval.__file__).parent / "tasks/mmlu/default"
    template = load_yaml(folder / "mmlu_astronomy.yaml", resolve_func=True)

    def task(subject, splits):
        data = DatasetDict({split: Dataset.from_list(rows) for split, rows in splits.items()})
        words = subject.replace("_", " ")
        about = f"The following are multiple choice questions (with answers) about {words}.\n\n"
        changes = {"task": f"mmlu_{subject}", "description": about}
        return ConfigurableTask(config={**template, **changes, "custom_dataset": lambda **_: data})

    tasks = [task(subject, splits) for subject, splits in work["rows"].items()]
    manager = TaskManager(include_defaults=False)
    begin = time.perf_counter()
    found = lm_eval.simple_evaluate(
        model, tasks=tasks, num_fewshot=work["shots"], bootstrap_iters=0, task_manager=manager
    )
    seconds = time.perf_counter() - begin
    samples = [
        sample
        for subject in work["rows"]
        for sample in sorted(found["samples"][f"mmlu_{subject}"], key=lambda s: s["doc_id"])
    ]
    return seconds, [[float(response[0][0]) for response in s["resps"]] for s in samples]


def few(work):
    """The first prompts of a work, or one row of MMLU: enough to compile or load all kernels."""
    if "rows" in work:
        subject, splits = next(iter(work["rows"].items()))
        return {**work, "rows": {subject: {**splits, "test": splits["test"][:1]}}}
    return {**work, **{name: work[name][:2] for name in ("contexts", "prompts", "groups")}}


def prepare(kind, weights, folder, batch_size):
    """The worker of an engine: its first message, and the function that answers."""
    folder = Path(folder)
    works = json.loads((folder / "work.json").read_text())
    model, size = folder / "model", int(batch_size)
    engine = Ours(model, weights, size) if kind == "ours" else Transformers(model, size)

    def answer(what, name, warm_up=False, **options):
        work = few(works[name]) if warm_up else works[name]
        try:
            seconds, answers = getattr(engine, what)(work, **options)
        except ImportError as error:
            return {"missing": str(error)}
        return {"seconds": seconds, "answers": answers}

    return {"ready": True}, answer
