"""``tinygrad-llm gradcheck``: every operation's gradients, proven on this machine, as a table."""

import difflib
import time
from pathlib import Path

from autograd.samples import SAMPLES, Sample, SampleReport, check_sample
from autograd.testing import draw_error_curves, error_curve
from tinygrad_llm.commands.console import PlainConsole, make_console
from tinygrad_llm.commands.options import GradcheckOptions
from tinygrad_llm.counts import counted
from tinygrad_llm.errors import UserError


def run(options: GradcheckOptions) -> int:
    """Check all samples, or those of the named operations; 1 if any fails.

    With ``plot``, also draw the error of a measured slope against the step size for the named
    operations. Raises UserError for an operation that does not exist, and for ``plot`` without one.
    """
    _check_options(options)
    samples = [s for s in SAMPLES if not options.op or s.op in options.op]
    start = time.perf_counter()
    console = make_console()
    reports = []
    with console.progress("checking gradients") as progress:
        for i, sample in enumerate(samples):
            reports.append(check_sample(sample))
            progress(i + 1, len(samples))
    for line in table(reports, console.width):
        console.say(line)
    failed = [report for report in reports if not report.passed]
    for report in failed:
        console.say(f"\n{report.sample.name}")
        for problem in report.problems:
            console.say(problem)
    console.say(
        "\nEach column is a relative error: forward against NumPy, orders 1 and 2 against\n"
        "finite differences in float64, definition against the derivative of the\n"
        "operation composed of simpler ones, kernels against their reference."
    )
    verdict = f"{len(failed)} WRONG" if failed else "all passed"
    console.say(f"{_counts(samples)}: {verdict} ({time.perf_counter() - start:.1f} s)")
    if options.plot is not None:
        _plot(samples, Path(*options.plot or (f"gradcheck-{'-'.join(options.op)}.png",)), console)
    return 1 if failed else 0


def _check_options(options: GradcheckOptions) -> None:
    if options.plot is not None and (len(options.plot) > 1 or not options.op):
        raise UserError("--plot needs --op NAME, and at most one path")
    known = {s.op for s in SAMPLES}
    for op in options.op:
        if op not in known:
            similar = difflib.get_close_matches(op, sorted(known), n=3, cutoff=0.5)
            hint = (
                f": did you mean {' or '.join(similar)}?" if similar else f" among the {len(known)}"
            )
            raise UserError(
                f"there is no operation {op!r}{hint} (tinygrad-llm gradcheck without --op shows "
                "all)"
            )


def _counts(samples: list[Sample]) -> str:
    operations = len({s.op for s in samples})
    kernels = len({s.op for s in samples if s.kernel})
    return (
        f"{counted(operations, 'operation')}, {counted(len(samples), 'sample')}, "
        f"{counted(kernels, 'fused kernel')}"
    )


HEADINGS = ("forward", "order 1", "order 2", "definition", "kernel f32", "kernel f64", "")


def table(reports: list[SampleReport], width: int | None) -> list[str]:
    """The lines of the table: one per sample, or more if ``width`` columns are too few.

    Nothing is ever cut. Without a width, in a file, lines are as long as they need to be.
    """
    names = [
        (r.sample.name, " ".join(str(s).replace(" ", "") for s in r.sample.shapes)) for r in reports
    ]
    wide = [max(map(len, column)) for column in zip(("operation", "shapes"), *names, strict=True)]
    numbers = [
        f"{'  '.join(f'{cell:>{len(h)}}' for cell, h in zip(row, HEADINGS, strict=True))}"
        for row in (HEADINGS, *map(_cells, reports))
    ]
    one_line = sum(wide) + 4 + max(map(len, numbers))
    if width is None or one_line <= width:
        lines = [
            f"{name:<{wide[0]}}  {shapes:<{wide[1]}}  {row}".rstrip()
            for (name, shapes), row in zip((("operation", "shapes"), *names), numbers, strict=True)
        ]
        return [lines[0], "-" * one_line, *lines[1:]]
    lines = [f"operation, shapes\n  {numbers[0]}".rstrip(), "-" * (2 + max(map(len, numbers)))]
    for (name, shapes), row in zip(names, numbers[1:], strict=True):
        between = "  " if len(name) + 2 + len(shapes) <= width else "\n  "
        lines.append(f"{name}{between}{shapes}\n  {row}")
    return lines


def _cells(report: SampleReport) -> list[str]:
    """The numbers of one sample, in the order of the headings."""
    gradient = report.gradient
    return [
        f"{report.forward:.0e}",
        f"{gradient.max_error(1):.0e}",
        f"{gradient.max_error(2):.0e}" if gradient else "-",
        "-" if report.definition is None else f"{report.definition:.0e}",
        *(
            f"{report.kernels[d].error:.0e}" if report.kernels else "-"
            for d in ("float32", "float64")
        ),
        "ok" if report.passed else "WRONG",
    ]


def _plot(samples: list[Sample], path: Path, console: PlainConsole) -> None:
    """Draw the U-curve of every sample into one picture, and print each minimum."""
    curves = []
    for sample in samples:
        try:
            curve = error_curve(sample.call, *sample.inputs(), name=sample.name)
        except ValueError as error:
            console.say(f"{sample.name} is not drawn: {error}")
            continue
        curves.append(curve)
        console.say(f"\n{sample.name}, error against step size")
        console.say(str(curve))
    if curves:
        path.parent.mkdir(parents=True, exist_ok=True)
        draw_error_curves(curves, path)
        console.say(f"\ndrawn in {path}")
