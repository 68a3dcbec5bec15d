"""Training a byte-level BPE, and encoding with it, against the ``tokenizers`` library.

    python benchmarks/tokenizer.py
    python benchmarks/tokenizer.py --megabytes 20 --merges 8192 --text FILE_OR_FOLDER

The text is Python source: the standard library and the installed packages, up to the requested
size. Both train on the same text, split by the same pattern, for the same number of merges; both
encode it with the tokenizer that ours trained. ``tokenizers`` runs with all its threads and with
one. The engines take turns, each in a process of its own.
"""

import argparse
import os
import statistics
import sysconfig
import tempfile
import time
from pathlib import Path

from _machine import cores, environment, say_environment, table
from _workers import Worker, serve, use_project

TARGET = 7.0  # seconds to train on 20 MB to 8,192 merges
ENGINES = {
    "ours": {},
    "tokenizers": {"TOKENIZERS_PARALLELISM": "true"},
    "tokenizers, 1 thread": {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1"},
}


def documents(place, limit):
    """Texts of .py files (or any files under ``place``), about ``limit`` bytes in total."""
    if place is None:
        folders = [Path(sysconfig.get_path(name)) for name in ("stdlib", "purelib")]
        files = [f for folder in folders for f in sorted(folder.rglob("*.py"))]
    else:
        place = Path(place)
        files = [place] if place.is_file() else sorted(f for f in place.rglob("*") if f.is_file())
    texts, size, seen = [], 0, set()
    for file in files:
        data = file.read_bytes()
        try:
            text = data.decode()
        except UnicodeDecodeError:
            continue
        if file in seen or not text:  # packages may lie inside the standard library's folder
            continue
        seen.add(file)
        texts.append(text[: max(0, limit - size)])
        size += len(data)
        if size >= limit:
            break
    return texts


def prepare_ours(texts, merges, folder):
    use_project()
    from tinygrad_llm.tokenizer import Tokenizer, train_bpe

    def train():
        tokenizer = train_bpe(texts, 256 + merges, special_tokens=())
        if not (folder / "tokenizer.json").exists():
            tokenizer.save(folder)

    def one_thread():
        tokenizer = Tokenizer.load(folder)
        return lambda: sum(len(ids) for ids in tokenizer.encode_batch(texts, num_threads=1))

    def threads():
        tokenizer = Tokenizer.load(folder)
        return lambda: sum(len(ids) for ids in tokenizer.encode_batch(texts))

    return {"train": lambda: train, "encode, 1 thread": one_thread, "encode": threads}


def prepare_tokenizers(texts, merges, folder):
    use_project()
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

    from tinygrad_llm.tokenizer.patterns import GPT4_PATTERN

    split = pre_tokenizers.Split(Regex(GPT4_PATTERN), "isolated")
    to_letters = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)

    def train():
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_letters])
        trainer = trainers.BpeTrainer(
            vocab_size=256 + merges,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(texts, trainer)

    def encode():
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        return lambda: sum(len(e.ids) for e in tokenizer.encode_batch(texts))

    return {"train": lambda: train, "encode": encode}


def prepare(engine, options):
    """A worker: it answers a piece of work with the seconds that it took and its tokens."""
    texts = documents(options.text, int(options.megabytes * 1e6))
    make = prepare_ours if engine == "ours" else prepare_tokenizers
    work = make(texts, options.merges, Path(options.folder))
    ready = {}

    def answer(what):
        if what not in ready:
            ready[what] = work[what]()
        begun = time.perf_counter()
        tokens = ready[what]()
        return {"seconds": time.perf_counter() - begun, "tokens": tokens}

    size = sum(len(text.encode()) for text in texts)
    return {"bytes": size, "documents": len(texts), "work": list(work)}, answer


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--megabytes", type=float, default=20)
    parser.add_argument("--merges", type=int, default=8192)
    parser.add_argument("--text", metavar="PATH", help="a file or folder of text to use instead")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    parser.add_argument("--serve", choices=ENGINES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.megabytes, options.merges, options.turns = 0.1, 50, 1
    if options.serve:
        return serve(lambda: prepare(options.serve, options))
    say_environment(environment())
    workers, seconds, counts = {}, {}, {}
    with tempfile.TemporaryDirectory() as folder:
        shared = ["--megabytes", options.megabytes, "--merges", options.merges, "--folder", folder]
        shared += ["--text", os.path.abspath(options.text)] if options.text else []
        try:
            for name, variables in ENGINES.items():
                worker = Worker(__file__, "--serve", name, *shared, environment=variables)
                if worker.missing:
                    print(f"{name}: skipped, {worker.missing}")
                    worker.stop()
                else:
                    workers[name] = worker
            for _ in range(options.turns):
                for what in ("train", "encode", "encode, 1 thread"):
                    for name, worker in workers.items():
                        if what in worker.hello["work"]:
                            answer = worker.ask(what=what)
                            seconds.setdefault((name, what), []).append(answer["seconds"])
                            counts[name, what] = answer["tokens"]
        finally:
            for worker in workers.values():
                worker.stop()
    about = workers["ours"].hello
    size = about["bytes"] / 1e6
    print(f"{size:.1f} MB in {about['documents']} documents, {options.merges:,} merges, ", end="")
    print(f"{cores()} cores\n")
    rows = [("", "work", "seconds", "lowest", "highest", "MB/s", "tokens")]
    for (name, what), times in seconds.items():
        median = statistics.median(times)
        tokens = counts[name, what]
        rows.append(
            (
                name, what, f"{median:.2f}", f"{min(times):.2f}", f"{max(times):.2f}",
                f"{size / median:.1f}", f"{tokens:,}" if tokens else "",
            )
        )  # fmt: skip
    print(table(rows, right=2))
    different = {n for n in counts.values() if n}
    if len(different) > 1:
        raise SystemExit(f"the encoders disagree on the number of tokens: {sorted(different)}")
    if options.megabytes == 20 and options.merges == 8192:
        median = statistics.median(seconds["ours", "train"])
        print(f"\ntraining: {median:.2f} s (target: {TARGET} s)")


if __name__ == "__main__":
    main()
