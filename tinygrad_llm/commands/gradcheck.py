"""``tinygrad-llm gradcheck``: every operation's gradients, proven on this machine, as a table."""

import time
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from autograd.samples import SAMPLES, Sample, check_sample
from autograd.testing import draw_error_curves, error_curve
from tinygrad_llm.commands.options import GradcheckOptions
from tinygrad_llm.errors import UserError

WIDTH = 140
"""Columns of the table where the output is not a terminal."""


def run(options: GradcheckOptions) -> int:
    """Check all samples, or those of the named operations; 1 if any fails.

    With ``plot`` also draw, for the named operations, the error of a measured slope against the
    step it was measured with. Raises UserError for an operation that does not exist, and when there
    is nothing named to draw.
    """
    if options.plot is not None and (len(options.plot) > 1 or not options.op):
        raise UserError("--plot draws the operations named by --op into one file: --op NAME --plot")
    known = {s.op for s in SAMPLES}
    for op in options.op:
        if op not in known:
            raise UserError(f"there is no operation {op!r}; there are {', '.join(sorted(known))}")
    samples = [s for s in SAMPLES if not options.op or s.op in options.op]
    start = time.perf_counter()
    console = Console(highlight=False, width=None if Console().is_terminal else WIDTH)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("operation", "shapes"):
        table.add_column(heading, no_wrap=True)
    for heading in ("forward", "order 1", "order 2", "definition", "kernel f32", "kernel f64"):
        table.add_column(heading, justify="right")
    table.add_column("")
    failed = []
    with console.status("checking gradients") as status:
        for i, sample in enumerate(samples):
            status.update(f"{i + 1}/{len(samples)}  {sample.name}")
            report = check_sample(sample)
            if not report.passed:
                failed.append(report)
            table.add_row(
                sample.name,
                " ".join(str(s).replace(" ", "") for s in sample.shapes),
                f"{report.forward:.0e}",
                f"{report.gradient.max_error(1):.0e}",
                f"{report.gradient.max_error(2):.0e}" if report.gradient else "-",
                "-" if report.definition is None else f"{report.definition:.0e}",
                *(
                    f"{report.kernels[d].error:.0e}" if report.kernels else "-"
                    for d in ("float32", "float64")
                ),
                "ok" if report.passed else "[bold red]WRONG[/]",
            )
    console.print(table)
    for report in failed:
        console.print(f"[bold red]{report.sample.name}[/]")
        for problem in report.problems:
            console.print(problem, markup=False)
    operations = len({s.op for s in samples})
    kernels = len({s.op for s in samples if s.kernel})
    console.print(
        "Errors are relative: forward to NumPy, orders 1 and 2 to finite differences in float64, "
        "definition to the derivative of the operation composed of simpler ones, kernels to their "
        "reference."
    )
    seconds = time.perf_counter() - start
    verdict = f"{len(failed)} WRONG" if failed else "all right"
    console.print(
        f"{operations} operations, {len(samples)} samples, {kernels} fused kernels: {verdict} "
        f"({seconds:.1f} s)"
    )
    if options.plot is not None:
        _plot(samples, Path(*options.plot or (f"gradcheck-{'-'.join(options.op)}.png",)), console)
    return 1 if failed else 0


def _plot(samples: list[Sample], path: Path, console: Console) -> None:
    """Draw the U-curve of every sample into one picture, and print where each has its bottom."""
    curves = []
    for sample in samples:
        try:
            curve = error_curve(sample.call, *sample.inputs(), name=sample.name)
        except ValueError as error:
            console.print(f"{sample.name} is not drawn: {error}", markup=False)
            continue
        curves.append(curve)
        console.print(f"\n{sample.name}, error against step size", markup=False)
        console.print(str(curve), markup=False)
    if curves:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_error_curves(curves, path)
        console.print(f"\ndrawn in {path}", markup=False)
