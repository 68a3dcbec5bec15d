"""The stages of a pipeline: what each is, what it depends on, and the command that does it."""

import json
import shutil
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from tinygrad_llm.commands import (
    corpus as corpus_command,
    eval as eval_command,
    finetune_session,
    resume as resume_command,
    start as start_command,
)
from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.eval_options import EvalOptions
from tinygrad_llm.commands.finetune_options import FinetuneOptions
from tinygrad_llm.commands.finetune_row_options import DPOOptions, SFTOptions
from tinygrad_llm.commands.models import open_model
from tinygrad_llm.commands.pipeline_options import PipelineOptions
from tinygrad_llm.commands.pipeline_presets import PRESETS, Preset
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.commands.writing import ending_ids
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.data import Corpus, Document, clean_corpus, load_corpus, split
from tinygrad_llm.data.cache import hash_parts
from tinygrad_llm.errors import UserError
from tinygrad_llm.evals.docstrings import ASK_DOCSTRING, ASK_SIGNATURE
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.requests import Chat, Generation, Message
from tinygrad_llm.evals.results import RESULTS, samples_file
from tinygrad_llm.files import write_atomically, write_folder_atomically
from tinygrad_llm.pipeline.chat import MARKS, with_chat
from tinygrad_llm.pipeline.facts import MODELS, read_lines, to_lines
from tinygrad_llm.pipeline.functions import Function, functions_of
from tinygrad_llm.pipeline.questions import choices, next_words
from tinygrad_llm.pipeline.report import HTML, MARKDOWN, write_report
from tinygrad_llm.pipeline.rows import completions, preferences
from tinygrad_llm.precision_options import PrecisionOptions
from tinygrad_llm.training import runs
from tinygrad_llm.training.checkpoint import MODEL_FILE, resolve

TASKS = ("perplexity", "next_word", "docstrings", "docstrings_chat", "signatures_chat")
BEGINNINGS = ("def", "import os\n\nclass", "if __name__ ==")
"""What every model continues, for the report. None ends with a space: the next token begins with
it (examples/25_space_before_the_letter.py)."""
ANSWERED = 3  # questions of each kind that every model answers, for the report
FEWEST = 16  # functions to learn from
OF_DATA = ("longest", "pairs", "questions", "texts")
"""What a preset says about the data."""


@dataclass(frozen=True)
class Work:
    """A pipeline as its stages see it."""

    folder: Path
    options: PipelineOptions

    @property
    def preset(self) -> Preset:
        return PRESETS[self.options.preset]

    @cached_property
    def documents(self) -> Corpus:
        """The corpus as it was found."""
        return load_corpus(self.options.data)

    @cached_property
    def corpus_sha256(self) -> str:
        """sha256 of all its texts."""
        return hash_parts([p for d in self.documents.documents for p in (d.name, d.text)])

    @cached_property
    def clean(self) -> tuple[Corpus, list[Document], list[Document]]:
        """The clean corpus, and its parts for training and for everything held out."""
        corpus = clean_corpus(self.documents, self.train)
        train_docs, held_out = split(corpus)
        return corpus, list(train_docs), list(held_out)

    @property
    def train(self) -> TrainConfig:
        """The options of the pretraining."""
        return TrainConfig(
            **self.preset.train, data=self.options.data, seed=self.options.seed,
            tokenizer=str((self.folder / "tokenizer").resolve()),
            out=str(self.folder / "pretrain"), **self.precision,
        ).with_recipe()  # fmt: skip

    @property
    def precision(self) -> dict[str, Any]:
        """How every training computes."""
        return {field.name: getattr(self.options, field.name) for field in fields(PrecisionOptions)}

    def finetuning(self, kind: type[FinetuneOptions], model: str, **options: Any) -> Any:
        """The options of a fine-tuning of ``model``."""
        name = kind.task
        return kind(
            model=str(self.folder / model), out=str(self.folder / name), seed=self.options.seed,
            data=str(self.folder / "data" / f"{name}_train.jsonl"),
            validation_data=str(self.folder / "data" / f"{name}_held_out.jsonl"),
            **self.precision, **options,
        )  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """A stage: its name and what it is; ``do`` returns an exit code.

    needs: the stages whose outputs it reads. continues: whether an interrupted one can go on, as a
    training can. settings: plain data that it depends on, too.
    """

    name: str
    folder: str
    about: str
    do: Callable[[Work], int]
    outputs: Callable[[Work], Iterable[Path]]
    settings: Callable[[Work], Any]
    needs: tuple[str, ...] = ()
    reads_corpus: bool = False
    continues: bool = False


# --- the corpus and what is made of it ----------------------------------------------------------


def _collect(work: Work) -> int:
    console, preset = make_console(), work.preset
    corpus, train_docs, held_out_docs = work.clean
    console.say(str(corpus))
    if len(corpus.documents) == 1:
        raise UserError(
            f"the corpus {work.options.data} is one document, but whole documents are held out: "
            "name a folder of several Python files with --data"
        )
    train = functions_of(train_docs, preset.longest)
    held_out = _unknown(functions_of(held_out_docs, preset.longest), train)
    different = min(len({f.signature for f in train}), len({f.summary for f in train}))
    if different < FEWEST:
        raise UserError(
            f"the corpus {work.options.data} has {different} different functions with docstrings "
            f"to learn from, expected at least {FEWEST}: name a folder of Python files with --data"
        )
    seed = work.options.seed
    docstrings, signatures = choices(held_out, preset.questions, seed)
    words = next_words(held_out_docs, preset.questions, preset.longest, seed)
    files = {
        "sft_train": completions(train),
        "sft_held_out": completions(held_out),
        "dpo_train": preferences(train, preset.pairs, seed),
        "dpo_held_out": preferences(held_out, preset.pairs, seed + 1),
        "docstrings": docstrings,
        "signatures": signatures,
        "next_word": words,
        "prompts": _prompts(held_out),
    }
    report = {
        **corpus.about(),
        "documents": {"train": len(train_docs), "held out": len(held_out_docs)},
        "functions": {"train": len(train), "held out": len(held_out)},
        "rows": {name: len(rows) for name, rows in files.items()},
    }

    def fill(folder: Path) -> None:
        for name, rows in files.items():
            (folder / f"{name}.jsonl").write_text(to_lines(rows), encoding="utf-8")
        (folder / "held_out.txt").write_text(_beginning(held_out_docs, preset.texts), "utf-8")
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", "utf-8")

    write_folder_atomically(work.folder / "data", fill)
    console.say(
        f"functions with docstrings: {len(train):,} to learn from, {len(held_out):,} held out, "
        "from other modules"
    )
    return 0


def _unknown(functions: Sequence[Function], known: Sequence[Function]) -> list[Function]:
    """The functions of which neither signature nor summary is known with the other."""
    summaries = {f.summary for f in known}
    return [f for f in functions if f.summary not in summaries]


def _beginning(documents: Sequence[Document], size: int) -> str:
    """The beginnings of all documents, about ``size`` bytes together."""
    each = max(200, size // len(documents))
    return "\n\n".join(d.text.encode()[:each].decode("utf-8", "ignore") for d in documents)


def _prompts(held_out: Sequence[Function]) -> list[dict[str, str]]:
    """What every model is asked for the report, from all over the held-out functions."""
    step = max(1, len(held_out) // ANSWERED)
    asked = held_out[step // 2 :: step][:ANSWERED]
    rows = [{"kind": "code", "prompt": text, "expected": ""} for text in BEGINNINGS]
    for kind, ask in (("docstring", ASK_DOCSTRING), ("signature", ASK_SIGNATURE)):
        for f in asked:
            pair = (f.signature, f.summary)
            given, expected = pair if kind == "docstring" else pair[::-1]
            rows.append({"kind": kind, "prompt": ask.format(given), "expected": expected})
    return rows


def _train_tokenizer(work: Work) -> int:
    _, train_docs, _ = work.clean
    size = work.preset.vocab_size - len(MARKS)
    tokenizer = with_chat(corpus_command.train_tokenizer(make_console(), train_docs, size))
    write_folder_atomically(work.folder / "tokenizer", tokenizer.save)
    return 0


# --- training -----------------------------------------------------------------------------------


def _begin(work: Work) -> int:
    from tinygrad_llm.pretrained.save import save_pretrained

    console = make_console()
    model, tokenizer, _ = start_command.new_model(console, work.train)
    console.say(f"a model of {model.num_parameters():,} parameters, all of them random")
    write_folder_atomically(
        work.folder / "untrained", lambda folder: save_pretrained(model, tokenizer, folder)
    )
    return 0


def _pretrain(work: Work) -> int:
    return _train(work.folder / "pretrain", lambda c, t: start_command.start(c, work.train, t))


def _sft(work: Work) -> int:
    options = work.finetuning(SFTOptions, "pretrain", **work.preset.sft)
    return _train(work.folder / "sft", lambda c, t: finetune_session.start(c, options, t))


def _dpo(work: Work) -> int:
    options = work.finetuning(DPOOptions, "sft", **work.preset.dpo)
    return _train(work.folder / "dpo", lambda c, t: finetune_session.start(c, options, t))


def _train(run: Path, start: Callable[[Any, float], int]) -> int:
    """Start a run, or continue it if it is there."""
    console, started = make_console(), time.monotonic()
    if (run / runs.RUN_FILE).is_file():
        return resume_command.resume(console, TrainConfig(resume=str(run)), started)
    if run.is_dir():  # it was killed before anything was in it
        shutil.rmtree(run)
    return start(console, started)


def _model_files(name: str) -> Callable[[Work], list[Path]]:
    def files(work: Work) -> list[Path]:
        try:
            folder = resolve(work.folder / name)
        except (UserError, OSError):
            return []
        return [folder / MODEL_FILE, folder / "tokenizer.json", folder / "config.json"]

    return files


# --- evaluation ---------------------------------------------------------------------------------


def _evaluate(model: str) -> Callable[[Work], int]:
    def do(work: Work) -> int:
        name, out = str(work.folder / model), work.folder / "evals" / model
        console = make_console()
        eval_command.evaluate(
            console,
            EvalOptions(
                names=(name,), tasks=",".join(TASKS), data=str(work.folder / "data"),
                seed=work.options.seed, out=str(out), batch_size=16,
            ),
        )  # fmt: skip
        _answer(work, name, out / "answers.jsonl")
        return 0

    return do


def _answer(work: Work, name: str, path: Path) -> None:
    """What a model writes after the prompts of the report."""
    rows = read_lines(work.folder / "data" / "prompts.jsonl")
    model, tokenizer = open_model(name, ModelOptions(weights="float32"))
    answering = LanguageModel(model, tokenizer, ending_ids(tokenizer), name)
    asked = []
    for row in rows:
        is_code = row["kind"] == "code"
        context = row["prompt"] if is_code else Chat((Message("user", row["prompt"]),))
        asked.append(
            Generation(
                context, max_new_tokens=work.preset.sample_tokens,
                temperature=0.7 if is_code else 0.0, seed=work.options.seed,
            )
        )  # fmt: skip
    texts: dict[int, Any] = {}
    for some in answering.answers(asked):
        texts |= some
    answered = [{**row, "answer": texts[i].text} for i, row in enumerate(rows)]
    write_atomically(path, to_lines(answered).encode("utf-8", "backslashreplace"))


def _evaluation(model: str) -> Stage:
    names = (RESULTS, "answers.jsonl", *map(samples_file, TASKS))
    return Stage(
        f"eval {model}", f"evals/{model}", f"score {ABOUT[model]} on held-out code",
        _evaluate(model), lambda work: [work.folder / "evals" / model / n for n in names],
        lambda work: [TASKS, work.preset.sample_tokens, work.options.seed],
        needs=("data", model),
    )  # fmt: skip


ABOUT = {
    "untrained": "the untrained model",
    "pretrain": "the base model",
    "sft": "the model that answers",
    "dpo": "the model that prefers",
}


def _options(options: Any) -> dict[str, Any]:
    """The options of a command that its result depends on: not those that say where things are."""
    without = (*runs.PLACES, "require_fast")
    return {k: v for k, v in asdict(options).items() if k not in without}


def _report(work: Work) -> int:
    write_report(work.folder)
    return 0


def _in(folder: str, *patterns: str) -> Callable[[Work], list[Path]]:
    def files(work: Work) -> list[Path]:
        return [path for pattern in patterns for path in (work.folder / folder).glob(pattern)]

    return files


STAGES = (
    Stage(
        "data", "data", "collect the corpus, clean it, make rows and questions of its functions",
        _collect, _in("data", "*"),
        lambda work: {n: getattr(work.preset, n) for n in OF_DATA},
        reads_corpus=True,
    ),
    Stage(
        "tokenizer", "tokenizer", "learn a vocabulary of byte pairs, and the marks of a chat",
        _train_tokenizer, _in("tokenizer", "*.json"), lambda work: work.preset.vocab_size,
        reads_corpus=True,
    ),
    Stage(
        "untrained", "untrained", "a model with random weights",
        _begin, _model_files("untrained"), lambda work: _options(work.train),
        needs=("tokenizer",), reads_corpus=True,
    ),
    _evaluation("untrained"),
    Stage(
        "pretrain", "pretrain", "predict the next token of the corpus",
        _pretrain, _model_files("pretrain"), lambda work: _options(work.train),
        needs=("tokenizer",), reads_corpus=True, continues=True,
    ),
    _evaluation("pretrain"),
    Stage(
        "sft", "sft", "learn to answer: signatures with docstrings, and the reverse",
        _sft, _model_files("sft"),
        lambda work: _options(work.finetuning(SFTOptions, "pretrain", **work.preset.sft)),
        needs=("data", "pretrain"), continues=True,
    ),
    _evaluation("sft"),
    Stage(
        "dpo", "dpo", "prefer right answers to mismatched, shuffled and cut ones",
        _dpo, _model_files("dpo"),
        lambda work: _options(work.finetuning(DPOOptions, "sft", **work.preset.dpo)),
        needs=("data", "sft"), continues=True,
    ),
    _evaluation("dpo"),
    Stage(
        "report", "report", "write everything down",
        _report, lambda work: [work.folder / name for name in (MARKDOWN, HTML)],
        lambda work: None, needs=("data", *MODELS, *(f"eval {m}" for m in MODELS)),
    ),
)  # fmt: skip
