"""From a task's documents to one sample for each: what was asked, answered, and what is right.

    documents -> requests -> answers -> samples

A sample is a line of samples_TASK.jsonl, in the fields of lm-evaluation-harness, and is appended as
soon as the answers about its document are there. A run that was killed goes on with the documents
that have no line yet. Since the model computes the same requests together whatever is left to do,
its results are those of a run without interruption.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.controls import ShotsOf, corrupted
from tinygrad_llm.evals.requests import (
    Answer,
    Answering,
    ContextTooSmall,
    Generation,
    Loglikelihood,
    Request,
    Rolling,
    Score,
)
from tinygrad_llm.evals.task import Document, Item, Task
from tinygrad_llm.files import file_sha256, write_atomically
from tinygrad_llm.files.json_file import check_json, parse_json

Sample = dict[str, Any]
Progress = Callable[[int, int], None]

_SAMPLE = {
    "doc_id": int, "group": str, "metrics": [str], "doc_hash": str, "prompt_hash": str, ...: object
}  # fmt: skip


@dataclass(frozen=True)
class Settings:
    """What is asked: the first ``limit`` documents of each group (None: all), after ``n_shots``
    examples (None: as many as the task's protocol says), with a ``control`` of controls.py."""

    limit: int | None = None
    n_shots: int | None = None
    seed: int = 0
    control: str | None = None


def prepare(task: Task, folder: Path, settings: Settings, model: Answering) -> list[Item]:
    """The documents in ``folder``, and the requests about each.

    Raises UserError for data that is missing or wrong, for more examples than there are, and for
    a model whose context is too small: it says how many examples would fit.
    """
    documents = _first_of_groups(task.documents(folder), settings.limit)
    if not documents:
        raise UserError(f"{task.name}: there is no document in {folder}")
    n_shots = shots_for(task, settings)
    examples = task.examples(folder) if n_shots else []

    def build(k: int) -> list[Item]:
        def shots_of(document: Document) -> Sequence[Document]:
            shots = [e for e in examples if e.group == document.group][:k]
            if len(shots) < k:
                of = f" of {document.group}" if document.group else ""
                raise UserError(
                    f"{task.name} has {_examples(len(shots))}{of}, but {k} are asked for"
                )
            return shots

        asked: list[Document] = documents
        shots: ShotsOf = shots_of
        if settings.control is not None:
            asked, shots = corrupted(settings.control, documents, shots_of, settings.seed)
        return [Item(d, task.requests(d, shots(d))) for d in asked]

    items = build(n_shots)
    try:
        model.check(flat(items))
    except ContextTooSmall as error:
        raise _too_small(task, model, error, items, build, n_shots) from None
    return items


def shots_for(task: Task, settings: Settings) -> int:
    """How many examples come before each question."""
    return task.n_shots if settings.n_shots is None else settings.n_shots


def splits_for(task: Task, settings: Settings) -> tuple[str, ...]:
    """The splits of the data that are read: examples where there are any before a question."""
    return ("test", "train") if shots_for(task, settings) else ("test",)


def data_sums(task: Task, folder: Path, settings: Settings) -> dict[str, str]:
    """The sha256 of each data file that is read, by its name in ``folder``."""
    files = [file for split in splits_for(task, settings) for file in task.files(folder, split)]
    return {
        str(file.relative_to(folder) if folder in file.parents else file.name): file_sha256(file)
        for file in files
    }


def flat(items: Sequence[Item]) -> list[Request]:
    """All requests in order."""
    return [request for item in items for request in item.requests]


def run_items(
    task: Task,
    model: Answering,
    items: Sequence[Item],
    path: Path | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Sample]:
    """Let the model answer; returns a sample for each item, in their order.

    path: of the samples. Those that it has already are not computed again. At the end it is
    rewritten in order. Raises UserError if it belongs to other documents or prompts.
    """
    requests = flat(items)
    drafts = _drafts(task, model, items)
    samples: dict[int, Sample] = {} if path is None else _read_finished(path, drafts)
    owner = [i for i, item in enumerate(items) for _ in item.requests]
    first = {i: number for number, i in reversed(list(enumerate(owner)))}
    done = [number for number, i in enumerate(owner) if i in samples]
    waiting: dict[int, dict[int, Answer]] = {}
    progress(len(samples), len(items))
    for answers in model.answers(requests, done) if len(samples) < len(items) else ():
        lines = []
        for number, answer in answers.items():
            i = owner[number]
            if i in samples:
                continue
            found = waiting.setdefault(i, {})
            found[number - first[i]] = answer
            if len(found) == len(items[i].requests):
                in_order = [found[place] for place in range(len(found))]
                samples[i] = finished(task, items[i], drafts[i], in_order)
                lines.append(_line(samples[i]))
                del waiting[i]
        if path is not None and lines:
            with open(path, "ab") as file:
                file.write(b"".join(lines))
        progress(len(samples), len(items))
    ordered = [samples[i] for i in range(len(items))]
    if path is not None:
        write_atomically(path, b"".join(map(_line, ordered)))
    return ordered


def finished(task: Task, item: Item, draft: Sample, answers: Sequence[Answer]) -> Sample:
    """A sample with its answers, and what they are worth."""
    verdict = task.verdict(item.document, answers)
    return {
        **draft,
        "resps": [[_response(answer)] for answer in answers],
        "filtered_resps": verdict.chosen,
        "metrics": list(verdict.metrics),
        **verdict.metrics,
    }


def metrics_of(sample: Sample) -> dict[str, float]:
    """The metrics of one document."""
    return {name: sample[name] for name in sample["metrics"]}


def _response(answer: Answer) -> list[Any]:
    """What is kept of an answer."""
    if isinstance(answer, Score):
        return [answer.logp, answer.greedy, answer.n_tokens]
    return [answer.text, answer.ended, answer.n_tokens]


# --- samples ----------------------------------------------------------------------------------


def _drafts(task: Task, model: Answering, items: Sequence[Item]) -> list[Sample]:
    """The part of each sample that is known before there are answers."""
    contexts = [
        r.text if isinstance(r, Rolling) else r.context for item in items for r in item.requests
    ]
    shown = iter(model.shown(contexts))
    drafts = []
    for item in items:
        d = item.document
        arguments = [_arguments(request, next(shown)) for request in item.requests]
        document = json.dumps(dict(d.fields), indent=2, ensure_ascii=False)
        drafts.append(
            {
                "doc_id": d.number,
                "group": d.group,
                "doc": dict(d.fields),
                "target": d.target,
                "arguments": {
                    f"gen_args_{i}": {f"arg_{j}": arg for j, arg in enumerate(args)}
                    for i, args in enumerate(arguments)
                },
                "doc_hash": _hash(document),
                "prompt_hash": _hash(json.dumps(arguments, ensure_ascii=False)),
                "target_hash": _hash(str(d.target)),
            }
        )
    return drafts


def _arguments(request: Request, shown: str) -> list[Any]:
    """A request as lm-evaluation-harness writes it."""
    if isinstance(request, Loglikelihood):
        return [shown, request.continuation]
    if isinstance(request, Generation):
        options: dict[str, Any] = {"until": list(request.until)}
        options |= {"max_gen_toks": request.max_new_tokens, "temperature": request.temperature}
        return [shown, options]
    return [shown]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _line(sample: Sample) -> bytes:
    return json.dumps(sample, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n"


def read_samples(path: Path) -> list[Sample]:
    """The samples in a file. A last line that was cut short, as by a kill, is left out."""
    whole = path.read_bytes().split(b"\n")[:-1]
    samples = []
    for number, line in enumerate(whole, 1):
        place = f"line {number} of {path}"
        sample = parse_json(line, place, _SAMPLE)
        check_json(sample, place, {**dict.fromkeys(sample["metrics"], float), ...: object})
        samples.append(sample)
    return samples


def _read_finished(path: Path, drafts: Sequence[Sample]) -> dict[int, Sample]:
    """The samples of an earlier run, by the number of the item; the file loses a cut line."""
    if not path.exists():
        return {}
    numbers = {(draft["group"], draft["doc_id"]): i for i, draft in enumerate(drafts)}
    samples = {}
    for line, sample in enumerate(read_samples(path), 1):
        i = numbers.get((sample["group"], sample["doc_id"]))
        same = i is not None and all(
            sample[name] == drafts[i][name] for name in ("doc_hash", "prompt_hash", "target_hash")
        )
        if i is None or not same:
            raise UserError(
                f"line {line} of {path} has another document or prompt than this run: it comes "
                "from other data or options; choose another --out"
            )
        samples[i] = sample
    write_atomically(path, b"".join(_line(samples[i]) for i in samples))
    return samples


# --- documents --------------------------------------------------------------------------------


def _first_of_groups(documents: Sequence[Document], limit: int | None) -> list[Document]:
    counts: dict[str, int] = {}
    chosen = []
    for document in documents:
        counts[document.group] = counts.get(document.group, 0) + 1
        if limit is None or counts[document.group] <= limit:
            chosen.append(document)
    return chosen


def _too_small(
    task: Task,
    model: Answering,
    error: ContextTooSmall,
    items: Sequence[Item],
    build: Callable[[int], list[Item]],
    n_shots: int,
) -> UserError:
    owner = [item.document for item in items for _ in item.requests]
    document = owner[error.number]
    where = f"document {document.number}" + (f" of {document.group}" if document.group else "")
    sentence = (
        f"{task.name}: {where} has {error.tokens:,} tokens"
        + (f" with {_examples(n_shots)}" if n_shots else "")
        + f", but the model reads at most {error.limit:,}"
    )
    for k in range(n_shots - 1, -1, -1):
        try:
            model.check(flat(build(k)))
        except ContextTooSmall:
            continue
        return UserError(f"{sentence}; it fits with {_examples(k)}: use --num-fewshot {k}")
    without = " even without examples" if n_shots else ""
    return UserError(f"{sentence}: it does not fit{without}")


def _examples(k: int) -> str:
    return "1 example" if k == 1 else f"{k or 'no'} examples"
