"""The cost of starting: importing the engine, beyond NumPy's own import, and the command's --help.

    python benchmarks/startup.py

Every start is a new process; the four take turns, and medians are compared. A first round, which
fills the file system's cache and Python's, is not counted.
"""

import argparse
import os
import subprocess
import sys
import time

from _machine import environment, say_environment, spread, table
from _workers import ROOT

STARTS = {
    "python": ["-c", "pass"],
    "import numpy": ["-c", "import numpy"],
    "import autograd": ["-c", "import autograd"],
    "tinygrad-llm --help": ["-m", "tinygrad_llm", "--help"],
}
BEYOND, HELP = 0.15, 0.5  # targets, in seconds


def start(arguments):
    """Seconds from the start of a process to its end."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    begun = time.perf_counter()
    subprocess.run(
        [sys.executable, *arguments], check=True, stdout=subprocess.DEVNULL, env=environment
    )
    return time.perf_counter() - begun


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--turns", type=int, default=11)
    parser.add_argument(
        "--smoke", action="store_true", help="the smallest form, to check that it runs"
    )
    options = parser.parse_args()
    say_environment(environment())
    times = {name: [] for name in STARTS}
    for turn in range(2 if options.smoke else options.turns + 1):
        for name, arguments in STARTS.items():
            took = start(arguments)
            if turn > 0:
                times[name].append(took)
    spreads = {name: spread(values) for name, values in times.items()}
    rows = [("", "seconds", "lowest", "highest")]
    rows += [
        (name, f"{s['median']:.3f}", f"{s['min']:.3f}", f"{s['max']:.3f}")
        for name, s in spreads.items()
    ]
    print("\n" + table(rows) + "\n")
    beyond = spreads["import autograd"]["median"] - spreads["import numpy"]["median"]
    whole = spreads["tinygrad-llm --help"]["median"]
    print(f"import autograd beyond NumPy: {beyond:.3f} s (target: under {BEYOND} s)")
    print(f"tinygrad-llm --help: {whole:.3f} s (target: under {HELP} s)")


if __name__ == "__main__":
    main()
