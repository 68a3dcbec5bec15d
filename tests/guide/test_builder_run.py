"""The guide's snippets are run, and what they print, raise and draw is held against the text."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from builder.alone import alone
from builder.book import read_book
from builder.compare import difference
from builder.run import run_chapters
from builder.style import COLOURS
from builder.svg import different

BUILD = Path(__file__).parents[2] / "docs" / "guide" / "build.py"
FIRST, SECOND = "01-what-a-language-model-is.md", "02-gradients-by-hand.md"
THIRD = "03-the-engine.md"
D = "docs/guide"


@pytest.fixture
def run(guide, progress):
    """Run chapters of the guide, by number; the mistakes as text."""

    def chapters(*numbers, update=False, limit=60.0, older=False):
        book = read_book(guide)
        chosen = [book.part(str(number)) for number in numbers]
        return [str(p) for p in run_chapters(book, chosen, False, update, progress, limit, older)]

    return chapters


@pytest.fixture
def third(guide, change, run):
    """Run chapter 3 with something in it; the mistakes as text."""

    def with_text(text, **options):
        change(THIRD, "Nothing yet.", text)
        return run(3, **options)

    return with_text


def python(code, output=None, words=""):
    """A block of Python, and its output."""
    block = f"```python\n{code}\n```" if not words else f"```python {words}\n{code}\n```"
    return block if output is None else f"{block}\n\n```output\n{output}\n```"


def test_the_sample_runs(run):
    assert run(1, 2) == []


PLANTED = {
    "another output": (
        python("print(2)", "3"),
        f"{D}/{THIRD}:7: the snippet of line 3: its output differs in line 1: expected '3', found "
        "'2'\nit printed\n2",
    ),
    "too much output": (
        python("print(2)\nprint(3)", "2"),
        f"{D}/{THIRD}:8: the snippet of line 3: it printed more than is shown, from line 2: '3'\n"
        "it printed\n2\n3",
    ),
    "too little output": (
        python("print(2)", "2\n3"),
        f"{D}/{THIRD}:7: the snippet of line 3: it printed less than is shown; missing from line "
        "2: '3'\nit printed\n2",
    ),
    "an output that is not shown": (
        python("print(2)"),
        f"{D}/{THIRD}:3: the snippet prints, so an output block has to follow it directly; it "
        "printed\n2",
    ),
    "no output": (
        python("x = 2", "2"),
        f"{D}/{THIRD}:7: the snippet prints nothing: remove its output",
    ),
    "an error": (
        python("def f():\n    return 1 / 0\n\nx = 1\nf()"),
        f"{D}/{THIRD}:5: the snippet raised ZeroDivisionError: division by zero\n"
        "Traceback (most recent call last):\n"
        f'  File "{D}/{THIRD}", line 8, in <module>\n    f()\n'
        f'  File "{D}/{THIRD}", line 5, in f\n    return 1 / 0\n           ~~^~~\n'
        "ZeroDivisionError: division by zero",
    ),
    "a mistake of syntax": (
        python("x = 1\ny = = 2"),
        f'{D}/{THIRD}:5: the snippet raised   File "{D}/{THIRD}", line 5\n    y = = 2\n',
    ),
    "no error": (
        python("x = 1", "ValueError: x", "raises"),
        f"{D}/{THIRD}:3: the snippet should raise, and did not",
    ),
    "another error": (
        python("int('x')", "ValueError: y", "raises"),
        f"{D}/{THIRD}:7: the snippet of line 3: its output differs in line 1: expected "
        "'ValueError: y', found \"ValueError: invalid literal",
    ),
    "a warning": (
        python("import warnings\nwarnings.warn('old', DeprecationWarning)"),
        f"{D}/{THIRD}:3: the snippet wrote to standard error, which the guide does not show:\n"
        f"{D}/{THIRD}:5: DeprecationWarning: old",
    ),
    "an exit": (
        python("import os\nos._exit(3)"),
        f"{D}/{THIRD}:3: the chapter's process ended with exit code 3 in this snippet",
    ),
    "an exit without a word": (
        python("import os\nos._exit(0)"),
        f"{D}/{THIRD}:3: the snippet ended the chapter's process, so what follows it was not run",
    ),
    "Ctrl-C in a snippet": (
        python("raise KeyboardInterrupt"),
        f"{D}/{THIRD}:4: the snippet raised KeyboardInterrupt\n",
    ),
    "a thread that goes on": (
        python(
            "import threading, time\n"
            "threading.Thread(target=lambda: time.sleep(0.4) or print('late')).start()"
        ),
        f"{D}/{THIRD}:3: after this snippet, the chapter's last, its process still wrote\nlate",
    ),
    "another working folder": (
        python("import os\nos.chdir('/')"),
        f"{D}/{THIRD}:3: the snippet leaves the working folder for /: go back at its end",
    ),
    "no working folder": (
        python("import os\nos.mkdir('gone')\nos.chdir('gone')\nos.rmdir('../gone')"),
        f"{D}/{THIRD}:3: the snippet leaves the working folder for one that it removed: go back",
    ),
    "a file with a number for a name": (
        python("raise FileNotFoundError(2, 'x', 5)"),
        f"{D}/{THIRD}:4: the snippet raised FileNotFoundError: [Errno 2] x: 5",
    ),
    "a figure that is a folder": (
        python("import os\nos.mkdir('figures/line.png')"),
        f"{D}/{THIRD}:3: the snippet saves figures/line.png: a figure is an SVG file",
    ),
    "what steers a terminal": (
        python("print('\\x1b[2J')"),
        f"{D}/{THIRD}:3: the snippet prints, so an output block has to follow it directly; it "
        "printed\n\\x1b[2J",
    ),
    "a command that fails": (
        "```sh\npython -c 'print(1)'\npython missing.py\n```\n\n```output\n1\n```",
        f"{D}/{THIRD}:3: the commands ended with exit code 2\n1\n",
    ),
    "a command's other output": (
        "```sh\npython -c 'print(1)'\n```\n\n```output\n2\n```",
        f"{D}/{THIRD}:7: the snippet of line 3: its output differs in line 1: expected '2', found "
        "'1'",
    ),
    "a figure that is not shown": (
        python("open('figures/line.svg', 'w').write('<svg/>') and None"),
        f"{D}/{THIRD}:3: the snippet saves figures/line.svg, which this chapter does not show",
    ),
    "a figure that is no SVG": (
        python("open('figures/line.png', 'w').write('x') and None"),
        f"{D}/{THIRD}:3: the snippet saves figures/line.png: a figure is an SVG file",
    ),
    "a figure that nothing makes": (
        "![A line.](figures/line.svg)",
        f"{D}/{THIRD}:3: no snippet of this chapter saves figures/line.svg, which it shows",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_named(name, third):
    text, expected = PLANTED[name]
    found = third(text)
    assert found and found[0].startswith(expected), found[0]
    assert len(found) == (2 if name == "a figure that is not shown" else 1)  # nor is it committed


def test_a_message_shows_a_part_of_very_long_output(third):
    (message,) = third(python("for i in range(9000):\n    print(i)\nprint('x' * 9000)"))
    assert "\n29\n... (8941 lines more) ...\n8971\n" in message
    assert message.endswith("x" * 400 + "...")
    assert len(difference("z", "y" * 9000, ())) < 500


def test_what_a_chapter_may_do(third):
    """Classes with their source, other processes, odd bytes, figures by another name for Python."""
    code = (
        "import inspect, os, pickle, subprocess, sys\n"
        "class Thing:\n    size = 3\n"
        "print(inspect.getsource(Thing), end='')\n"
        "print(pickle.loads(pickle.dumps(Thing())).size, flush=True)\n"
        "subprocess.run([sys.executable, '-c', 'print(4)'])\n"
        "print(os.environ['PYTHONHASHSEED'], os.environ['OPENBLAS_NUM_THREADS'], __name__)\n"
    )
    assert third(python(code, "class Thing:\n    size = 3\n3\n4\n0 1 __main__")) == []


def test_a_chapter_that_takes_too_long_is_stopped(third):
    start = time.monotonic()
    sleep = "import subprocess\nsubprocess.run(['sleep', '77.125'])"
    assert third(f"{python('x = 1')}\n\n{python(sleep)}", limit=0.6) == [
        f"{D}/{THIRD}:7: the chapter took longer than 0.6 s and was stopped in this snippet: make "
        "it smaller"
    ]
    assert time.monotonic() - start < 10
    assert "sleep 77.125" not in _processes()


def _processes():
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_the_chapter_that_has_to_run_first_is_named(guide, run):
    """Chapter 2 needs what chapter 1 leaves; then it runs alone, as often as one likes."""
    (guide / "_build" / "work" / "kept.json").unlink()
    [found] = run(2)
    assert found.startswith(f"{D}/{SECOND}:12: the snippet raised FileNotFoundError: ")
    assert found.endswith(
        "Chapter 1 makes that file: run it first, python docs/guide/build.py check 01"
    )
    assert run(1) == run(2) == run(2) == []


def test_an_older_processor_is_played(third):
    """Without the instructions that NumPy looks for, and without a word about it."""
    code = (
        "from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__\n"
        "print([name for name in __cpu_dispatch__ if __cpu_features__[name]])"
    )
    assert third(python(code, "[]"), older=True) == []


def test_a_whole_run_begins_with_an_empty_folder(guide, change, progress):
    work = guide / "_build" / "work"
    (work / "old.txt").write_text("old")
    book = read_book(guide)
    assert run_chapters(book, book.chapters, True, False, progress) == []
    assert not (work / "old.txt").exists() and (work / "kept.json").exists()


def test_a_figure_that_differs_and_update(guide, change, run):
    committed = (guide / "figures" / "curve.svg").read_bytes()
    change(SECOND, "axes.plot(kept)", "axes.plot(kept[::-1])")
    [found] = run(2)
    assert found.startswith(f"{D}/{SECOND}:7: figures/curve.svg is not the committed one: d of a ")
    assert re.search(
        r"<path> has moved by up to \d+\.\d\d points; see whether that is meant", found
    )
    assert run(2, update=True) == [] == run(2)
    assert (guide / "figures" / "curve.svg").read_bytes() != committed
    change(SECOND, "kept[::-1]", "kept")
    assert run(2, update=True) == []
    assert (guide / "figures" / "curve.svg").read_bytes() == committed


def test_a_measured_figure_is_not_compared(change, run):
    change(SECOND, "```python\nimport json", "```python measured\nimport json")
    change(SECOND, "axes.plot(kept)", "axes.plot(kept[::-1])")
    assert run(2) == []


def test_update_adds_replaces_and_removes_outputs(guide, third, run):
    text = "\n\n".join(
        [
            python("print(1)"),
            python("print(2)", "3"),
            python("x = 3", "3"),
            python("print('```')", "x"),
            python("1 / 0", words="raises"),
            "```python\nprint(4.01)\n```\n\n```output approx\n4.0\n```",
            "```python\nprint(5.01)\n```\n\n```output measured\n6.2\n```",
        ]
    )
    assert third(text, update=True) == []
    assert run(3) == []
    found = (guide / THIRD).read_text()
    expected = "\n\n".join(
        [
            python("print(1)", "1"),
            python("print(2)", "2"),
            python("x = 3"),
            "```python\nprint('```')\n```\n\n````output\n```\n````",
            python("1 / 0", "ZeroDivisionError: division by zero", "raises"),
            "```python\nprint(4.01)\n```\n\n```output approx\n4.0\n```",  # near enough
            "```python\nprint(5.01)\n```\n\n```output measured\n5.01\n```",  # measured anew
        ]
    )
    assert found.startswith(f"# Part 3\n\n{expected}\n\n## Questions\n")


@pytest.mark.parametrize(
    ("shown", "printed", "words", "same"),
    [
        ("a 1", "a 1  \n\n", (), True),
        ("a 1", "a 1.0", (), False),
        ("loss 2.00", "loss 2.03", ("approx",), True),
        ("loss 2.00", "loss 2.05", ("approx",), False),
        ("loss 2.00", "lass 2.00", ("approx",), False),
        ("0", "0.0001", ("approx",), False),
        ("1,000 x", "1,010 x", ("approx",), True),
        ("1e-3", "1.01e-3", ("approx",), True),
        ("12 s", "7.25 s", ("measured",), True),
        ("    12 s", "  7.25 s", ("measured",), True),
        ("12 s", "12 ms", ("measured",), False),
        ("12 s", "12 s\n13 s", ("measured",), False),
        ("12 s 1", "12 s", ("measured",), False),
    ],
)
def test_outputs_are_compared(shown, printed, words, same):
    assert (difference(shown, printed, words) is None) == same


SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="10pt"><metadata>{date}</metadata>'
    '<defs><clipPath id="{id}"><path d="M {x} 2 L 3 4.5"/></clipPath></defs>'
    '<g id="a" clip-path="url(#{id})" style="fill: {colour}; stroke-width: {width}"/></svg>'
)
SAME = {"date": "1", "id": "p1", "x": "10.25", "colour": "#12355b", "width": "0.8"}


@pytest.mark.parametrize(
    ("changed", "same"),
    [
        ({"date": "2"}, True),
        ({"id": "p2"}, True),
        ({"x": "10.2500001"}, True),
        ({"x": "10.3"}, True),
        ({"x": "10.5"}, False),
        ({"x": "-10.25"}, False),
        ({"x": "10.25 3"}, False),
        ({"colour": "#12355c"}, True),
        ({"colour": "#12395b"}, False),
        ({"width": "0.9"}, False),
    ],
)
def test_figures_are_compared_by_what_they_draw(changed, same, tmp_path):
    old, new = tmp_path / "old.svg", tmp_path / "new.svg"
    old.write_text(SVG.format(**SAME))
    new.write_text(SVG.format(**{**SAME, **changed}))
    assert (different(old, new) is None) == same


def test_a_committed_figure_that_is_no_svg(tmp_path):
    (tmp_path / "old.svg").write_text("version https://git-lfs")
    (tmp_path / "new.svg").write_text(SVG.format(**SAME))
    found = different(tmp_path / "old.svg", tmp_path / "new.svg")
    assert found.startswith("old.svg is no SVG file (syntax error")
    found = different(tmp_path / "new.svg", tmp_path / "old.svg")
    assert found.startswith("what the snippet saved is no SVG file (syntax error")


def test_colours_differ_in_grey():
    greys = []
    for colour in COLOURS:
        red, green, blue = bytes.fromhex(colour[1:])
        greys.append((0.299 * red + 0.587 * green + 0.114 * blue) / 255)
    assert greys == sorted(greys)
    assert min(b - a for a, b in zip(greys, greys[1:], strict=False)) > 0.1


# The command line


def command(*arguments, **options):
    return subprocess.run(
        [sys.executable, str(BUILD), *arguments], capture_output=True, text=True, **options
    )


def test_the_command_line_says_all_mistakes_at_once(guide, change):
    change(SECOND, "3.04 seconds", "4.04 seconds")
    change(SECOND, "[the curve rises]", "[]")
    done = command("check", "2", "--folder", str(guide))
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        f"{D}/{SECOND}:5: the link figures/curve.svg: it has no text",
        f"{D}/{SECOND}:19: the snippet of line 7: its output differs in line 1: expected '4.04 "
        "seconds', found '3.001 seconds'",
        "it printed",
        "3.001 seconds",
        "2 mistakes in the guide",
    ]
    assert "running the chapters: 2 Curves" in done.stdout


def test_the_command_line_knows_its_chapters(guide):
    done = command("check", "17", "--folder", str(guide))
    assert done.returncode == 2
    assert "there is no chapter '17': choose one of 01-what-a-language-model-is, " in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_ends_the_children(number, code, guide, change):
    seconds = f"88.{os.getpid()}{number:02}"  # no other run's
    sleep = f"import subprocess\nsubprocess.run(['sleep', '{seconds}'])"
    change(THIRD, "Nothing yet.", python(sleep))
    process = subprocess.Popen(
        [sys.executable, str(BUILD), "check", "3", "--folder", str(guide)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a background job ignores some
    )
    end = time.monotonic() + 30
    while f"sleep {seconds}" not in _processes():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    os.kill(process.pid, number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in errors
    assert f"sleep {seconds}" not in _processes()


def test_a_second_build_waits_for_none(guide):
    with alone(guide):
        done = command("check", "3", "--folder", str(guide))
    assert done.returncode == 2
    assert done.stderr.startswith("docs/guide: another build of this guide is running: wait until")
    assert command("check", "3", "--folder", str(guide)).returncode == 0


def test_a_module_that_is_not_installed(guide, tmp_path):
    """It is said before the snippets are run."""
    (tmp_path / "typst.py").write_text("raise ModuleNotFoundError('no', name='typst')\n")
    paths = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    done = command("pdf", "--folder", str(guide), env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == 2 and "First words" not in done.stdout
    assert (
        done.stderr == "typst is not installed: pip install -e '.[guide]' in the project's folder\n"
    )


def test_a_target_that_cannot_be_written(guide, tmp_path):
    (tmp_path / "file").write_text("kept")
    done = command("markdown", "--folder", str(guide), "--out", str(tmp_path / "file"))
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert done.stderr.startswith("the guide was not made: [Errno 17] File exists: ")
    assert (tmp_path / "file").read_text() == "kept"
