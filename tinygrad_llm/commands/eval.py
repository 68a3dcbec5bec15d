"""``tinygrad-llm eval``: scores of a model on tasks, with bands, that others can reproduce."""

import hashlib
import json
import time
from collections import Counter
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from tinygrad_llm.commands.console import PlainConsole, make_console
from tinygrad_llm.commands.eval_options import EvalOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.card import draw_card
from tinygrad_llm.evals.compare import compare, difference_table
from tinygrad_llm.evals.known import KNOWN, KnownModel, known_model
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.requests import Answering
from tinygrad_llm.evals.results import (
    CARD,
    TaskResult,
    samples_file,
    table,
    to_json,
    write_results,
)
from tinygrad_llm.evals.runner import (
    Settings,
    data_sums,
    prepare,
    run_items,
    shots_for,
    splits_for,
)
from tinygrad_llm.evals.sandbox import containment
from tinygrad_llm.evals.task import Task, find_task
from tinygrad_llm.evals.tasks import TASKS
from tinygrad_llm.files import file_sha256, user_path, write_atomically
from tinygrad_llm.files.json_file import read_json
from tinygrad_llm.files.lock import RunLock
from tinygrad_llm.version import __version__

IDENTITY = "eval.json"
PLACES = ("names", "out", "batch_size", "no_verify", "list_tasks")
"""Options that do not change what is measured."""


def run(options: EvalOptions) -> int:
    """Do what the options ask for: list, compare or evaluate."""
    console = make_console()
    if options.list_tasks:
        console.say(task_list())
        return 0
    if options.names[0] == "compare":
        a, b = (user_path(name) for name in options.names[1:])
        console.say(difference_table(compare(a, b), (a.name, b.name)))
        return 0
    evaluate(console, options)
    return 0


def task_list() -> str:
    """A line for each task: its name, its examples, its chance level and what it is."""
    lines = [f"{'task':<18} {'shots':>5}  {'chance':>6}  about"]
    for task in TASKS.values():
        chance = f"{task.chance:.2f}" if task.chance else "-"
        lines.append(f"{task.name:<18} {task.n_shots:>5}  {chance:>6}  {task.about}")
    return "\n".join(lines)


def chosen_tasks(options: EvalOptions) -> list[Task]:
    """The tasks that are asked for, with their options. Raises UserError for unknown ones."""
    found: list[Task] = []
    for name in options.tasks.split(","):
        task = find_task(name.strip(), TASKS)
        if options.apply_chat_template:
            if task.chat_form is None:
                raise UserError(
                    f"{task.name} has no form for chats: leave --apply-chat-template out"
                )
            task = find_task(task.chat_form, TASKS)
        names = {field.name for field in fields(task)}  # type: ignore[arg-type]
        given = {name: getattr(options, name) for name in names if hasattr(options, name)}
        if task.name in [other.name for other in found]:
            raise UserError(f"the task {task.name} is named twice in --tasks {options.tasks}")
        found.append(replace(task, **given))  # type: ignore[type-var]
    return found


def evaluate(console: PlainConsole, options: EvalOptions) -> dict[str, Any]:
    """Evaluate a model, write the results, and show them; returns what results.json holds."""
    name, tasks = options.names[0], chosen_tasks(options)
    settings = Settings(options.limit, options.num_fewshot, options.seed, options.control)
    folders = [_data_folder(task, options.data, settings) for task in tasks]
    model, sha256 = _open(name, options)
    # every mistake is found before the first task begins
    asked = [
        prepare(task, folder, settings, model or KnownModel(name, []))
        for task, folder in zip(tasks, folders, strict=True)
    ]
    if any(getattr(task, "allow_code_execution", False) for task in tasks):
        console.say("\n".join(["programs run with these protections:", *containment()]))
    identity = {"model": name, "model_sha256": sha256, **_what_is_measured(options)}
    out = _folder_for(options.out or f"evals/{Path(name).name}", identity, options.out is None)
    started = time.time()
    results = []
    with RunLock(out):
        for task, folder, items in zip(tasks, folders, asked, strict=True):
            answering = model or known_model(name, task, items, options.seed)
            path = out / samples_file(task.name)
            with console.progress(task.name) as progress:
                samples = run_items(task, answering, items, path, progress)
            sizes = Counter(document.group for document in task.documents(folder))
            data = data_sums(task, folder, settings)
            n_shots = shots_for(task, settings)
            results.append(TaskResult(task, n_shots, samples, sizes, data))
        config = {**identity, "batch_size": options.batch_size, "tinygrad_llm": __version__}
        content = to_json(results, config) | {
            "date": started, "total_evaluation_time_seconds": str(time.time() - started)
        }  # fmt: skip
        write_results(out, content)
        draw_card(content, out / CARD, name)
    console.say(table(content))
    console.say(f"results in {out}")
    return content


def _data_folder(task: Task, data: str | None, settings: Settings) -> Path:
    """The folder with a task's files: the one that ``data`` names, or the task's own."""
    if data is None:
        return task.default_folder(splits_for(task, settings))
    folder = user_path(data)
    if not folder.exists():
        raise UserError(f"there is no folder {folder}: --data names that of the tasks' files")
    return folder


def _what_is_measured(options: EvalOptions) -> dict[str, Any]:
    return {name: value for name, value in asdict(options).items() if name not in PLACES}


def _open(name: str, options: EvalOptions) -> tuple[Answering | None, str | None]:
    """The model and the sha256 of its weights; None for one of the models of known score."""
    if name in KNOWN and not user_path(name).exists():
        return None, None
    from tinygrad_llm.commands.models import find_parts, open_model
    from tinygrad_llm.commands.text_options import ModelOptions
    from tinygrad_llm.tokenizer.endings import ending_ids

    loading = ModelOptions(
        weights=options.weights, adapter=options.adapter, no_verify=options.no_verify
    )
    model, tokenizer = open_model(name, loading)
    path, adapters = find_parts(name, options.adapter)
    sha256 = _weights_sha256([path, *adapters])
    answering = LanguageModel(model, tokenizer, ending_ids(tokenizer), name, options.batch_size)
    return answering, sha256


def _weights_sha256(places: list[Path]) -> str:
    """sha256 of the one file of weights, or of the list of those of all, as sha256sum prints it."""
    files = [
        file
        for place in places
        for file in ([place] if place.is_file() else sorted(place.glob("*.safetensors")))
    ]
    sums = [file_sha256(file) for file in files]
    if len(sums) == 1:
        return sums[0]
    lines = "".join(f"{s}  {file.name}\n" for s, file in zip(sums, files, strict=True))
    return hashlib.sha256(lines.encode()).hexdigest()


def _folder_for(name: str, identity: dict[str, Any], may_rename: bool) -> Path:
    """A new folder, or that of an evaluation with the same options, to go on with.

    Raises UserError if the folder holds something else, unless ``may_rename``: then a number is
    appended.
    """
    identity = json.loads(json.dumps(identity))  # tuples become lists, as they are read
    first = user_path(name)
    number, path = 1, first
    while path.exists():
        file = path / IDENTITY
        found = read_json(file, {...: object}, file_names=True) if file.is_file() else None
        if found == identity or (path.is_dir() and not any(path.iterdir())):
            break
        if not may_rename:
            raise UserError(f"{path} {_difference(found, identity)}; choose another --out")
        number += 1
        path = first.with_name(f"{first.name}-{number}")
    path.mkdir(parents=True, exist_ok=True)
    write_atomically(path / IDENTITY, (json.dumps(identity, indent=2) + "\n").encode())
    return path


def _difference(found: dict[str, Any] | None, identity: dict[str, Any]) -> str:
    if found is None:
        return "exists and holds no evaluation"
    for name, value in identity.items():
        if found.get(name) != value:
            was = found.get(name)
            return f"holds an evaluation with another {name}: {was!r} and not {value!r}"
    return "holds an evaluation with other options"
