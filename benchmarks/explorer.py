"""The explorer's page in a browser: how long it takes to open, and to answer a step.

    python benchmarks/explorer.py

Two pages: the default one of ``tinygrad-llm explore``, and a graph of 5,000 operations. Opening is
measured from the navigation until the first step is drawn, in a browser that is running. A step is
a press of a key until the next frame is on the screen; every view of the page is open for some of
them. "work" is the processor time of the page's thread in a step, which hardly depends on what else
the machine does. It needs the extra ``browser`` and chromium.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from _machine import environment, say_environment, spread, table

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
STEP, OPEN = 50, 2.0  # targets: milliseconds, seconds

TAKE_A_STEP = """async (key) => {
  const begun = performance.now(), before = document.documentElement.dataset.step;
  document.body.dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true }));
  while (document.documentElement.dataset.step === before) await new Promise(requestAnimationFrame);
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
  return performance.now() - begun;
}"""


def default_page(path):
    """The page that ``tinygrad-llm explore`` writes."""
    from tinygrad_llm.commands.explore import run
    from tinygrad_llm.commands.explore_options import ExploreOptions

    run(ExploreOptions(out=str(path), open=False))


def large_page(path, operations):
    """The page of a residual network whose layers take turns with 50 weights."""
    import numpy as np

    from autograd import Tensor, ops
    from autograd.debug import explore

    rng = np.random.default_rng(0)
    weights = [
        Tensor(rng.normal(size=(8, 8)).astype("float32") / 3, requires_grad=True) for _ in range(50)
    ]
    x = Tensor(rng.normal(size=(4, 8)).astype("float32"))

    def loss():
        stream = x
        for i in range(operations // 4):
            branch = ops.tanh(stream @ weights[i % 50]) * 0.5
            stream = stream + branch
        return ops.sum(stream)

    explore(loss, path, names={f"layers.{i}.weight": w for i, w in enumerate(weights)})


def measure(browser, path, openings, steps):
    """(seconds of each opening; by view, milliseconds of each step and the work in one of them)."""
    opened, took, work = [], {}, {}
    for i in range(openings + 1):
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.set_default_timeout(120_000)
        page.goto(path.resolve().as_uri())
        page.wait_for_selector("html[data-step]", state="attached")
        seconds = page.evaluate("async () => { await new Promise(requestAnimationFrame); "
                                "return performance.now() / 1000; }")  # fmt: skip
        if i > 0:
            opened.append(seconds)
        if i < openings:
            page.close()
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})

    def worked():
        metrics = session.send("Performance.getMetrics")["metrics"]
        return next(m["value"] for m in metrics if m["name"] == "TaskDuration")

    for n in range(page.locator("[role=tab]").count()):
        tab = page.locator("[role=tab]").nth(n)
        tab.click()
        view, begun = tab.inner_text(), worked()
        times = took[view] = []
        for key, count in (("j", steps), ("b", 1), ("j", steps), ("k", steps)):
            for _ in range(count):
                times.append(page.evaluate(TAKE_A_STEP, key))
        work[view] = 1000 * (worked() - begun) / len(times)
        page.evaluate(TAKE_A_STEP, "Home")
    page.close()
    return opened, took, work


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--operations", type=int, default=5000)
    parser.add_argument("--openings", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    options = parser.parse_args()
    if options.smoke:
        options.operations, options.openings, options.steps = 40, 1, 2
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        found = None
    if found is None:
        print("this needs chromium and the playwright package: pip install 'tinygrad-llm[browser]'")
        return 1
    say_environment(environment())
    rows = [("page", "MB", "opens in s", "highest", "view", "step in ms", "highest", "work")]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as p:
        arguments = ["--no-sandbox"] if sys.platform == "linux" else []
        browser = p.chromium.launch(executable_path=found, args=arguments)
        for name in ("default", f"{options.operations:,} operations"):
            path = Path(folder) / "page.html"
            if name == "default":
                default_page(path)
            else:
                large_page(path, options.operations)
            opened, took, work = measure(browser, path, options.openings, options.steps)
            first = spread(opened)
            cells = (name, f"{path.stat().st_size / 1e6:.1f}",
                     f"{first['median']:.2f}", f"{first['max']:.2f}")  # fmt: skip
            for view, times in took.items():
                step = spread(times)
                step = (f"{step['median']:.0f}", f"{step['max']:.0f}", f"{work[view]:.0f}")
                rows.append((*cells, view, *step))
                cells = ("", "", "", "")
        browser.close()
    print("\n" + table(rows) + "\n")
    print(f"targets for the default page: it opens in under {OPEN:.0f} s, a step under {STEP} ms")
    return 0


if __name__ == "__main__":
    sys.exit(main())
