"""Loss curves in float32 and bf16, ours and PyTorch's: how far apart they are, and who is nearer.

A step in bf16 differs from one in float32, and the difference grows as training goes on, whoever
computes it. So the question is not whether a curve in bf16 leaves that in float32, but whether ours
leaves it no further than that of PyTorch's autocast does. The distance is the mean over all steps
of the difference between two losses of a step, without its sign.

Two things tell how much of it is noise. The same training in float32 by PyTorch, which only adds up
in another order, is some distance from ours as well. And the steps are cut into BLOCKS stretches:
the scatter of their means gives the standard error of the mean, as neighbouring steps are no
independent samples. Ours counts as farther only if it is by more than two standard errors. That
speaks of one order of batches, and in another either may be nearer: one early rounding moves all
later steps. Of several orders (``--seed 1 2 3``) each gives one sample, and these are independent:
their scatter gives the standard error.
"""

import math
import statistics

from _machine import table

BLOCKS = 10
FLOAT32, PEER = "ours float32", "torch-bf16"


def distance(a, b):
    """The differences of two curves: the largest and its step, the mean, and that with its sign."""
    signed = [x - y for x, y in zip(a, b, strict=True)]
    apart = [abs(x) for x in signed]
    return {
        "largest": max(apart),
        "at_step": apart.index(max(apart)) + 1,
        "mean": statistics.fmean(apart),
        "signed_mean": statistics.fmean(signed),
    }


def rounded(curves):
    """The name of our curve that is not the one in float32, or None."""
    return next((name for name in curves if name.startswith("ours") and name != FLOAT32), None)


def pairs(curves):
    """The names of two curves, for each row of the table."""
    float32 = [(name, FLOAT32) for name in ("torch", "torch-avx512", "jax")]
    ours = rounded(curves)
    wanted = [(ours, FLOAT32), (PEER, FLOAT32), (ours, PEER), *float32]
    return [(a, b) for a, b in wanted if a in curves and b in curves]


def judge(curves):
    """Whether ours in bf16 is no farther from float32 than PyTorch's autocast, as a dictionary.

    ``excess`` is our mean distance less PyTorch's, ``error`` its standard error.
    """
    ours, theirs = (
        [abs(x - y) for x, y in zip(curves[name], curves[FLOAT32], strict=True)]
        for name in (rounded(curves), PEER)
    )
    excess = [a - b for a, b in zip(ours, theirs, strict=True)]
    n = min(BLOCKS, len(excess))
    means = [
        statistics.fmean(excess[i * len(excess) // n : (i + 1) * len(excess) // n])
        for i in range(n)
    ]
    return _judgement(statistics.fmean(ours), statistics.fmean(theirs), means)


def judge_orders(judgements):
    """The same of several orders of batches, from the judgement of each."""
    ours, theirs = (statistics.fmean(one[of] for one in judgements) for of in ("ours", "torch"))
    return _judgement(ours, theirs, [one["excess"] for one in judgements])


def _judgement(ours, theirs, samples):
    """``samples`` of our distance less PyTorch's, whose scatter says how sure their mean is."""
    n, excess = len(samples), ours - theirs
    error = statistics.stdev(samples) / math.sqrt(n) if n > 1 else math.inf
    found = {"ours": ours, "torch": theirs, "excess": excess, "error": error}
    return found | {"holds": excess <= 2 * error}


def report(curves, say):
    """Print the distances and the judgement; both as the dictionary for ``--json``."""
    found = {f"{a} to {b}": distance(curves[a], curves[b]) for a, b in pairs(curves)}
    rows = [("distance of losses", "largest", "at step", "mean", "mean with sign")]
    for name, one in found.items():
        rows.append((name, f"{one['largest']:.1e}", one["at_step"], f"{one['mean']:.1e}",
                     f"{one['signed_mean']:+.1e}"))  # fmt: skip
    say("\n" + table(rows))
    ours = rounded(curves)
    if ours is None or PEER not in curves:
        return {"distances": found}
    one = judge(curves)
    say(f"\n{verdict(one, ours)} in this order of batches")
    return {"distances": found, "judgement": one}


def report_orders(reports, ours, say):
    """The judgement of several orders of batches, printed; None where there is nothing to judge."""
    ones = [report["judgement"] for report in reports if "judgement" in report]
    if len(ones) < 2:
        return ones[0] if ones else None
    found = judge_orders(ones)
    say(f"\n{verdict(found, ours)} in {len(ones)} orders of batches")
    return found


def verdict(one, ours):
    farther = "not farther" if one["excess"] <= 0 else "not measurably farther"
    farther = farther if one["holds"] else "farther"
    return (
        f"mean distance from {FLOAT32}: {ours} {one['ours']:.2e}, PyTorch's autocast "
        f"{one['torch']:.2e}\n{one['excess']:+.1e} with a standard error of {one['error']:.0e}: "
        f"ours is {farther} from float32"
    )


def draw(curves, path):
    """The curves above, their distances below, with gaps where two losses are equal."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, (above, below) = plt.subplots(2, figsize=(7, 7), sharex=True, layout="constrained")
    for name, curve in curves.items():
        above.plot(range(1, len(curve) + 1), curve, label=name, linewidth=1)
    for a, b in pairs(curves):
        apart = [abs(x - y) or math.nan for x, y in zip(curves[a], curves[b], strict=True)]
        steps = range(1, len(apart) + 1)
        below.semilogy(steps, apart, label=f"{a} to {b}", linewidth=1)
    above.set_ylabel("loss")
    below.set_ylabel("difference between losses")
    below.set_xlabel("step")
    for plot in (above, below):
        plot.grid(alpha=0.3)
        plot.legend(fontsize=7)
    figure.savefig(path, dpi=120)
    plt.close(figure)
