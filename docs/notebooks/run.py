"""Run the notebooks of this folder and keep what their cells show: python docs/notebooks/run.py

A notebook is its own source: edit its cells in Jupyter or here, then run this, which executes every
cell from top to bottom in a new process and writes the outputs into the file, without what differs
from run to run (times of execution, counters, addresses of displays). The page of the explorer,
which is large, is left out: it is there as soon as the cell is run.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import nbclient
import nbformat

HERE = Path(__file__).resolve().parent
LARGE = 100_000  # characters of HTML: the explorer's page
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}


def execute(path: Path, folder: Path) -> Any:
    """The notebook with the outputs of a run in ``folder``, by the Python that runs this.

    Raises nbclient's CellExecutionError for a cell that fails, with its traceback.
    """
    kernels = folder / "kernels" / "python3"
    kernels.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    command.append("--IPKernelApp.log_level=ERROR")
    (kernels / "kernel.json").write_text(json.dumps({"argv": command, **KERNEL}))
    book = nbformat.read(path, as_version=4)
    environment = {
        "JUPYTER_PATH": str(folder),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        "PYTHONPATH": str(HERE.parents[1]),
        "IPYTHONDIR": str(folder / "ipython"),
    }
    before = dict(os.environ)
    os.environ.update(environment)
    try:
        here = {"metadata": {"path": str(folder)}}
        nbclient.NotebookClient(book, timeout=120, kernel_name="python3", resources=here).execute()
    finally:
        os.environ.clear()
        os.environ.update(before)
    return book


def clean(book: Any) -> Any:
    """The notebook without what a run leaves by chance, and with ids that stay."""
    book.metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    for number, cell in enumerate(book.cells, 1):
        cell.id = f"cell-{number:02}"
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.execution_count = None
        cell.outputs = joined(cell.outputs)
        for output in cell.outputs:
            output.pop("transient", None)
            if "execution_count" in output:
                output.execution_count = None
            if len(output.get("data", {}).get("text/html", "")) > LARGE:
                del output["data"]["text/html"]
    return book


def joined(outputs: list[Any]) -> list[Any]:
    """The outputs, with texts that a slow kernel sent in pieces in one piece."""
    found: list[Any] = []
    for output in outputs:
        if output.output_type == "stream" and found and found[-1].get("name") == output.name:
            found[-1].text += output.text
        else:
            found.append(output)
    return found


def main() -> None:
    for path in sorted(HERE.glob("*.ipynb")):
        with tempfile.TemporaryDirectory() as folder:
            book = clean(execute(path, Path(folder)))
        partial = path.with_suffix(".partial")
        nbformat.write(book, partial)
        partial.replace(path)
        print(path.name)


if __name__ == "__main__":
    main()
