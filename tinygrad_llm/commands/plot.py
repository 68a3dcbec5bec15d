"""``tinygrad-llm plot RUN RUN ...``: the losses of several runs in one picture, and as a table."""

from pathlib import Path

from tinygrad_llm.commands.console import make_console
from tinygrad_llm.commands.options import PlotOptions
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.training.checkpoint import run_of
from tinygrad_llm.training.metrics import Metrics, read_metrics
from tinygrad_llm.training.plot import plot_runs
from tinygrad_llm.training.runs import METRICS_FILE


def run(options: PlotOptions) -> int:
    """Draw the picture, and show the last and the best validation of each run."""
    console = make_console()
    out = user_path(options.out)
    if out.suffix.lower() not in ("", ".png"):
        raise UserError(
            f"the picture is a PNG, but its name ends in {out.suffix}: name a file .png"
        )
    if out.exists() and not out.is_file():
        raise UserError(f"cannot write {out}: it is not a file; name another with --out")
    metrics = _metrics(options.runs)
    try:
        plot_runs(metrics, out)
    except OSError as error:
        raise UserError(f"cannot write {out} ({error.strerror}); name another with --out") from None
    for line in table({name: _row(lines) for name, lines in metrics.items()}, console.width):
        console.say(line)
    console.say(f"plot        {out}")
    return 0


def table(rows: dict[str, str], width: int | None) -> list[str]:
    """A line for each run; the names are on lines of their own if ``width`` columns are too few."""
    rows = {"run": f"{'steps':>6} {'training':>9} {'validation':>11} {'best':>7} at", **rows}
    names, numbers = (max(map(len, column)) for column in (rows, rows.values()))
    if width is None or names + 1 + numbers <= width:
        return [f"{name:<{names}} {row}" for name, row in rows.items()]
    return [line for name, row in rows.items() for line in (name, f"  {row}")]


def _metrics(names: tuple[str, ...]) -> dict[str, list[Metrics]]:
    """The metrics of each run by a name that tells them apart, in the order of ``names``."""
    folders = [run_of(name) for name in names]
    for folder in folders:
        if folders.count(folder) > 1:
            raise UserError(f"{folder} is named twice: name each run once")
    short = [folder.resolve().name for folder in folders]
    metrics = {}
    for name, folder in zip(short, folders, strict=True):
        lines = read_metrics(Path(folder) / METRICS_FILE)
        if not any(_loss(line) is not None for line in lines):
            raise UserError(f"{folder} has no losses yet: nothing could be drawn")
        metrics[str(folder) if short.count(name) > 1 else name] = lines
    return metrics


def _loss(line: Metrics) -> float | None:
    return line.get("train_loss", line.get("loss"))


def _row(lines: list[Metrics]) -> str:
    """Steps, last training loss, last validation loss (the final one if there is one), and the best
    quick evaluation with its step."""
    losses = [loss for line in lines if (loss := _loss(line)) is not None]
    validation = [
        (loss, line["step"], line.get("final", False))
        for line in lines
        if (loss := line.get("val_loss", line.get("eval_loss"))) is not None
    ]
    row = f"{lines[-1]['step']:>6} {losses[-1]:>9.4f}"
    quick = [(loss, step) for loss, step, final in validation if not final]
    if not quick:
        return f"{row} {'-':>11} {'-':>7}"
    best, step = min(quick)
    return f"{row} {validation[-1][0]:>11.4f} {best:>7.4f} {step}"
