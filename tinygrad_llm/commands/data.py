"""``tinygrad-llm data prepare SOURCE``, ``data inspect SOURCE`` and ``data list``."""

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.corpus import open_tokenizer, prepare_corpus
from tinygrad_llm.commands.options import DataInspect, DataList, DataPrepare
from tinygrad_llm.data import DATASETS, CleanReport, cache_folder, clean_stream, open_source
from tinygrad_llm.data.samples import Samples
from tinygrad_llm.errors import UserError


def prepare(options: DataPrepare) -> int:
    """Prepare a corpus in the cache and print the report."""
    if options.tokenizer is not None and options.vocab_size is not None:
        raise UserError(
            f"vocab_size is {options.vocab_size} and tokenizer {options.tokenizer!r}: a tokenizer "
            "has its own vocabulary; leave out one of the two"
        )
    tokenizer = open_tokenizer(options.tokenizer) if options.tokenizer else None
    console = make_console()
    _, prepared = prepare_corpus(
        console,
        options.source,
        tokenizer=tokenizer,
        vocab_size=4096 if options.vocab_size is None else options.vocab_size,
        options=options,
    )
    console.say(f"written to {prepared.folder}")
    return 0


def inspect(options: DataInspect) -> int:
    """Print what each rule drops or changes, with samples."""
    samples = Samples(options.samples, options.seed)
    found, report = CleanReport(), CleanReport()
    source = open_source(options.source, options)
    for _ in clean_stream(source.documents(found), report, options, samples):
        pass
    console = make_console()
    console.say(f"source {source.name}\n{found.then(report)}")
    shown = list(samples.lines(options.rule or ""))
    if options.rule and not shown:
        reasons = "; ".join(reason for reason, _ in samples.lines()) or "none"
        console.say(
            f"\nno rule that dropped or changed anything matches --rule {options.rule}; those that "
            f"did: {reasons}"
        )
    for reason, lines in shown:
        console.say(f"\n{reason}")
        for line in lines:
            console.say(f"  {line}")
    return 0


def list_corpora(options: DataList) -> int:
    """Print every corpus that has a name."""
    rows = [("stdlib", "the standard library of this Python; needs no download")]
    for name, dataset in DATASETS.items():
        path = cache_folder() / "downloads" / f"{name}.txt"
        where = path if path.is_file() else f"to be downloaded from {dataset.url}"
        rows.append((name, f"{dataset.size:>9,} bytes; {where}"))
    make_console().entries(rows)
    return 0
