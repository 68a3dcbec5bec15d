"""docs/questions.md: its blocks print what it shows, and messages point to its questions."""

import ast
import contextlib
import io
import re
import warnings
from pathlib import Path

import numpy as np
import pytest

from autograd import Op, Parameter, Tensor, check_grad, functional, grad, ops
from autograd.questions import see
from tinygrad_llm import AdamW
from tinygrad_llm.training.optim import clip_scale

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "questions.md").read_text()
SOURCES = sorted([*ROOT.glob("autograd/**/*.py"), *ROOT.glob("tinygrad_llm/**/*.py")])
PROSE = re.sub(r"^```.*?^```", "", PAGE, flags=re.M | re.S)
QUESTIONS = re.findall(r"^### (.*)$", PROSE, re.M)
BLOCKS = re.findall(r"^```python\n(.*?)^```\n(?:```\n(.*?)^```)?", PAGE, re.M | re.S)


def printed(code):
    """What a program train.py prints after the page's imports, its warning or error included."""
    scope, out = {}, io.StringIO()
    exec(BLOCKS[0][0], scope)  # our own documentation
    with warnings.catch_warnings(record=True) as seen, contextlib.redirect_stdout(out):
        warnings.simplefilter("always")
        error = ""
        try:
            exec(compile(code, "train.py", "exec"), scope)
        except Exception as raised:
            error = f"{type(raised).__name__}: {raised}"
    said = [f"{w.category.__name__}: {w.message}" for w in seen]
    return "\n".join([*said, out.getvalue(), error])


@pytest.mark.parametrize("code, shown", BLOCKS, ids=range(len(BLOCKS)))
def test_a_block_prints_what_is_shown(code, shown):
    assert printed(code).split() == shown.split()


def test_the_page_has_what_it_should():
    assert len(QUESTIONS) == len(set(QUESTIONS)) >= 24 and len(BLOCKS) >= 24
    listed = re.findall(r"\]\(#(.*?)\)", PAGE[: PAGE.index("\n## ")])
    assert listed == [anchor(question) for question in QUESTIONS]


def anchor(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("answer", re.split(r"^### ", PROSE, flags=re.M)[1:], ids=QUESTIONS)
def test_an_answer_names_its_code_and_where_it_is_shown(answer):
    code, _, shown = answer[answer.index("\nCode: ") :].partition("Shown:")
    assert re.search(r"\]\(\.\./(autograd|tinygrad_llm)/[\w/]+\.py\)", code)
    assert re.search(r"\]\((\.\./examples/\w+\.py|[\w./]+\.md(#[\w-]+)?)\)", shown)


# --- the messages that point to it ----------------------------------------------------------------


def pointers(source):
    """The questions that a file's messages name: each a string, ``see("...")``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "see":
            (question,) = node.args
            yield question.value


def test_every_pointer_names_a_question():
    sources = {path: path.read_text() for path in SOURCES}
    named = {p: [*pointers(text)] for p, text in sources.items() if "import see" in text}
    assert {p.name: q for p, found in named.items() for q in found if q not in QUESTIONS} == {}
    assert len(named) > 15 and len({q for found in named.values() for q in found}) > 12


def test_a_pointer_to_nowhere_is_noticed():
    source = 'raise TypeError("no" + see("Why is y.grad None?") if x else see("Why not?"))'
    assert [q for q in pointers(source) if q not in QUESTIONS] == ["Why not?"]


def test_pointers_are_made_in_one_place():
    assert see("Why?") == ' (docs/questions.md, "Why?")'
    own = ROOT / "autograd" / "questions.py"
    assert [p for p in SOURCES if p != own and "docs/questions" in p.read_text()] == []


def w():
    return Parameter(np.array([1.0, 2.0]))


class Bad(Op):
    """Twice x, with a backward that is what a test wants."""

    def __init__(self, backward):
        self.backward = backward

    def forward(self, xp, x):
        return x * 2


def bad(backward, **options):
    (x,) = (w(),)
    grad(Bad(backward)(x).sum(), x, **options)


def of_another_shape():
    p = w()
    p.sum().backward()
    p.data = np.ones(3)
    p.sum().backward()


def set_grad_flag():
    (w() * 2).requires_grad = False


def set_item():
    w()[0] = 1.0


def set_data():
    (w() * 2).data = np.ones(2)


def drawing(x):
    return ops.dropout(x, 0.5, True, RNG)


def changing(x):
    return x * RNG.random()


def gradient_check(f, *inputs):
    return lambda: check_grad(f, *inputs)


RNG = np.random.default_rng(0)
IN_PLACE = "Why is an in-place change an error?"
NOTHING = "Why is there nothing to differentiate?"
DETACH = "When do I detach?"
ARGMAX = "Why has argmax no gradient?"
UPDATE = "Why is p -= lr * p.grad an error?"
VJP = "What is a vjp?"
FLOAT64 = "Why float64 to check a gradient?"
MODULE = "How do I check a whole Module?"
DROPOUT = "What does backward do with dropout?"
RECOMPUTE = "What does recomputation save, and what does it cost?"
EXPLODE = "Why do gradients explode and vanish?"
BROADCAST = "Where does the sum in a broadcast's gradient come from?"
MISTAKES = [  # those that the page does not show
    ("other data", of_another_shape, "Why zero_grad?"),
    ("data of a computed tensor", set_data, IN_PLACE),
    ("assign_ to a computed tensor", lambda: (w() * 2).assign_([1.0, 2.0]), IN_PLACE),
    ("an element", set_item, IN_PLACE),
    ("fill", lambda: w().fill(0), IN_PLACE),
    ("copyto", lambda: np.copyto(w(), 1.0), IN_PLACE),
    ("array += tensor", lambda: np.add(np.ones(2), w(), out=np.ones(2)), UPDATE),
    ("requires_grad = False", set_grad_flag, DETACH),
    ("float", lambda: float(w().sum()), DETACH),
    ("np.array", lambda: np.array(w()), DETACH),
    ("rotation", lambda: ops.rope(np.ones((1, 4)), w(), w()), DETACH),
    ("weights of classes", lambda: ops.cross_entropy(np.ones((1, 2)), [0], weight=w()), DETACH),
    ("integers", lambda: Tensor([1, 2], requires_grad=True), ARGMAX),
    ("by integers", lambda: functional.grad(lambda x: x.sum())(np.array([1, 2])), ARGMAX),
    ("of integers", lambda: functional.vjp(ops.argmax, np.ones(2)), ARGMAX),
    ("check of argmax", gradient_check(ops.argmax, np.ones(2)), ARGMAX),
    ("grad of data", lambda: grad(w().sum(), Tensor([1.0])), NOTHING),
    ("grad of another", lambda: grad(w().sum(), w()), NOTHING),
    ("hook on data", lambda: Tensor([1.0]).register_hook(print), NOTHING),
    ("check of a constant", gradient_check(ops.floor, np.array([1.5])), NOTHING),
    ("AdamW of data", lambda: AdamW([("x", Tensor(np.ones(2)))]), NOTHING),
    ("functional.grad of a vector", lambda: functional.grad(lambda x: x * 2)(np.ones(2)), VJP),
    ("a gradient is missing", lambda: bad(lambda xp, g: None), VJP),
    ("a wrong shape", lambda: bad(lambda xp, g: g.sum(keepdims=True)), BROADCAST),
    (
        "np for xp",
        lambda: bad(lambda xp, g: g.data * 2, create_graph=True),
        "How does double backward work?",
    ),
    ("check in float32", gradient_check(lambda x: x.astype(np.float32), np.ones(2)), FLOAT64),
    ("check of ids", gradient_check(lambda ids: ids, np.array([1, 2])), MODULE),
    ("check of dropout", gradient_check(drawing, np.ones(9)), DROPOUT),
    ("dropout without rng", lambda: ops.dropout(w(), 0.5, True, None), DROPOUT),
    ("another result", lambda: functional.recompute(changing, w()).sum().backward(), RECOMPUTE),
    ("infinite norm", lambda: clip_scale(np.inf, 1.0), EXPLODE),
    (
        "weights of zero",
        lambda: AdamW([(n, Parameter(np.zeros((2, 2)))) for n in "ab"]),
        EXPLODE,
    ),
]


@pytest.mark.parametrize(
    "mistake, question", [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES]
)
def test_a_message_ends_with_its_question(mistake, question):
    with pytest.raises(Exception) as raised:  # noqa: PT011 (each has its own type)
        mistake()
    assert str(raised.value).endswith(see(question)), raised.value
