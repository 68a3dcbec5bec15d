"""The operation cards: docstrings, sources and derivations as they are, and what a call keeps."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from derivative_lines import all_operations, recorded_calls

from autograd import Parameter, Tensor, ops, save_activations
from autograd.debug.explorer.cards import card, part
from autograd.debug.explorer.docstrings import equations, parts, readers
from autograd.debug.explorer.document import Builder, graph_document
from autograd.debug.explorer.mathematics import KERNELS, _markdown, derivation, mathml
from autograd.debug.explorer.saved import kept, part as kept_part
from autograd.debug.explorer.source import folder_of, functions, words
from autograd.debug.explorer.tape import Call, Value, record
from autograd.debug.memory import kept_arrays
from autograd.engine import Op
from autograd.functional import recompute
from autograd.kernels.dispatch import folders
from tinygrad_llm.inspect.explorable import EXPLORABLE

ROOT = Path(__file__).parent.parent.parent
OPERATIONS = all_operations()


def text_of(array):
    return array.tobytes().decode()


def plain(lines):
    return ["".join(text for _, text in line) for line in lines]


# --- cards ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda c: c.__name__)
def test_a_card_says_what_the_docstring_says_and_shows_the_source(operation):
    made = card(operation)
    doc = {name.lower(): text for name, text in parts(operation).items()}
    doc.pop("derivation", None)
    assert made["doc"] == doc and doc["formula"]
    assert dict(made["gradients"]) == equations(doc["derivative"])[0]
    source = json.loads(text_of(made["source"]))
    for side in ("forward", "backward"):
        assert side in [f["name"] for f in source[side]]
        for f in source[side]:
            lines = (ROOT / f["file"]).read_text().splitlines()
            shown = plain(f["lines"])
            there = lines[f["first"] - 1 : f["first"] - 1 + len(shown)]
            assert [line.strip() for line in there] == [line.strip() for line in shown]


def test_a_fused_operation_shows_its_reference_and_what_that_calls():
    found = functions(ops.loss.CrossEntropy, "backward")
    assert [f["name"] for f in found] == ["log_sum_exp", "class_weights", "divisor", "backward"]
    assert {f["file"] for f in found} == {"autograd/kernels/cross_entropy/reference.py"}
    found = functions(ops.loss.SoftCrossEntropy, "backward")
    assert [f["name"] for f in found] == ["surprise", "backward"]


@pytest.mark.parametrize("source", ["", "x = 1\n\n\ny = '''a\nb'''\n", "def f(\n", "\tif: ```é\n"])
def test_the_words_of_a_line_are_its_text(source):
    shown = plain(words(source))
    assert shown == source.rstrip("\n").split("\n") or (source == "" and shown == [])


def test_words_have_kinds():
    (line,) = words("def f(x): return 1  # one")
    assert ["k", "def"] in line and ["f", "f"] in line and ["n", "1"] in line
    assert line[-1] == ["c", "# one"]


class Planted(Op):
    """<img src=x onerror=alert(1)> & <b>bold</b>.

    Saves: x
    Derivative: g_x = g * <script>alert(1)</script>
    Derivation: autograd/kernels/softmax/README.md
    """

    save_inputs = (0,)

    def forward(self, xp, x):
        return x * x  # </script><script>alert(2)</script>

    def backward(self, xp, g, x):
        return g * 2.0 * x


def test_an_operation_of_the_users_is_text_and_has_no_derivation_of_ours():
    x = Tensor([1.0, 2.0], requires_grad=True)
    tape = record(lambda: ops.sum(Planted()(x)))
    made = part(tape, None)["Planted"]
    assert made["derivation"] is None and made["folder"] is None
    assert made["doc"]["formula"].startswith("<img")
    assert "</script>" in text_of(made["source"])  # bytes: nothing in the page can read it as HTML


def test_an_operation_without_docstring_or_source_has_a_card():
    names = {"Op": Op}
    exec(
        "class Typed(Op):\n"
        "    def forward(self, xp, x): return x * 1.0\n"
        "    def backward(self, xp, g): return g\n",
        names,
    )
    made = card(names["Typed"])
    assert made["doc"] == {} and made["defined"] == ""
    assert json.loads(text_of(made["source"])) == {"forward": [], "backward": []}


# --- derivations ----------------------------------------------------------------------------------


class Reader(HTMLParser):
    """Checks that tags are closed in their order, and collects them and the text."""

    def __init__(self):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], set(), "", set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in ("br", "hr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


HTML = {
    "a", "code", "div", "em", "h4", "h5", "h6", "li", "ol", "p", "pre", "strong", "table", "tbody",
    "td", "th", "thead", "tr", "ul",
}  # fmt: skip
MATH = {
    "math", "mfrac", "mi", "mn", "mo", "mover", "mrow", "mspace", "msqrt", "msub", "msubsup",
    "msup", "mstyle", "mtable", "mtd", "mtext", "mtr", "munder", "munderover",
}  # fmt: skip


@pytest.mark.parametrize("folder", folders())
def test_every_derivation_becomes_html_with_every_formula_drawn(folder):
    html = derivation(folder)
    reader = Reader()
    reader.feed(html)
    assert reader.open == [] and reader.tags <= HTML | MATH
    allowed = {"data-folder", "class", "display", "style"}
    known = {"stretchy", "lspace", "rspace", "form", "fence", "minsize", "maxsize", "width",
             "mathvariant", "accent", "displaystyle", "scriptlevel", "linethickness",
             "movablelimits", "columnalign", "rowspacing", "columnspacing"}  # fmt: skip
    assert reader.attributes <= allowed | known
    assert "$" not in reader.text and "\\" not in reader.text  # no LaTeX is left over
    text = (KERNELS / folder / "README.md").read_text()
    text = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    blocks = re.findall(r"\$\$(.*?)\$\$", text, re.DOTALL)
    inline = re.findall(r"\$([^$]+)\$", re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL))
    last = text.partition("\n## The same in NumPy\n")[2]
    before = last[: last.find("`xp` is NumPy")]  # the sentence that is left out has no formula
    assert "$" not in before
    assert html.count("<math") == len(blocks) + len(inline)
    assert all(mathml(formula, True) in html for formula in blocks)
    assert len(html) < 36_000


def test_a_link_to_another_derivation_names_its_folder():
    assert '<a data-folder="softmax">softmax</a>' in derivation("attention")
    linked = set(re.findall(r'data-folder="(\w+)"', "".join(map(derivation, folders()))))
    assert linked and linked <= set(folders())


def test_of_a_picture_the_page_has_the_caption():
    html = derivation("product")
    assert "<em>Where the numbers of a tile come from." in html and ".svg" not in html


def test_html_in_a_readme_would_be_text():
    html = _markdown().render("a <b>b</b> <script>c</script> [x](javascript:alert(1)) $<i>$")
    assert "<b>" not in html and "<script" not in html and "javascript:" not in html.split("[x]")[0]
    assert "href" not in html and "<i>" not in html


@pytest.mark.parametrize(
    "latex, expected",
    [
        (r"\mathrm{softmax}", "<mi>softmax</mi>"),
        (r"\log p", '<mi>log</mi><mspace width="0.1667em" /><mi>p</mi>'),
        (r"\max(1, n)", '<mi>max</mi><mo stretchy="false">(</mo>'),
        (r"x = -1", '<mo form="prefix">−</mo>'),
        (r"a - 1", "<mo>−</mo>"),
        (r"\overline{a b}", '<mover class="card-over">'),
        (r"\begin{cases} a & b \end{cases}", '<mtable class="card-left">'),
        (r"a < b", "&lt;"),
    ],
)
def test_a_formula_is_mended(latex, expected):
    assert expected in mathml(latex)


# --- what a call keeps ----------------------------------------------------------------------------


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda c: c.__name__)
def test_all_that_is_kept_is_named_with_a_reason(operation):
    for op, args, output in recorded_calls_once().get(operation, []):  # Move needs a device
        values = [
            Value(i, "leaf", a.data, a.shape, a.dtype) if isinstance(a, Tensor) else a
            for i, a in enumerate(args)
        ]
        out = Value(99, "computed", output.data, output.shape, output.dtype)
        found = kept(Call(0, op, values, out, None))
        named = {id(k.array) for k in found if k.array is not None and k.kind != "not kept"}
        expected = {id(array) for _, array in kept_arrays(op)}
        assert expected <= named and all(k.what and k.why for k in found)
        said = parts(operation)["Saves"]
        if said.startswith("nothing"):
            assert not [k for k in found if k.kind in ("input", "output")]


def test_of_a_packed_array_the_bytes_are_those_that_are_kept():
    x = Parameter(np.ones((8, 16), np.float32))
    with save_activations("bf16"):
        y = ops.feed_forward(
            ops.exp(x), np.ones((32, 16), "f4"), None, np.ones((4, 32), "f4"), None
        )
    call = next(c for c in record(y.sum()).calls if type(c.op).__name__ == "FeedForward")
    found = {k.what: (k.bytes, k.array.dtype) for k in kept(call) if k.kind in ("input", "cache")}
    assert found["x"] == (8 * 16 * 2, np.float32) and found["h"] == (8 * 32 * 2, np.float32)
    assert found["u"][0] == 32 * 16 * 4  # a constant


_CALLS = {}


def recorded_calls_once():
    if not _CALLS:
        _CALLS.update(recorded_calls())
    return _CALLS


def reasons(loss, op):
    tape = record(loss)
    (call,) = [c for c in tape.calls if type(c.op).__name__ == op]
    return {k.what: (k.kind, k.why) for k in kept(call)}


def test_why_an_input_is_kept_and_why_not():
    a, b = Tensor([1.0, 2.0], requires_grad=True), Tensor([3.0, 4.0], requires_grad=True)
    found = reasons(lambda: ops.sum(a * b), "Multiply")
    assert found["a"] == (
        "input", "g_b = g * a reads it; it would not be kept if b needed no gradient"
    )  # fmt: skip
    found = reasons(lambda: ops.sum(a * Tensor([3.0, 4.0])), "Multiply")
    assert found["a"][0] == "not kept" and "needs no gradient here" in found["a"][1]
    assert found["b"][0] == "input"
    found = reasons(lambda: ops.sum(a + b), "Add")
    assert found == {
        "a": ("not kept", "no formula reads it"),
        "b": ("not kept", "no formula reads it"),
    }
    found = reasons(lambda: ops.sum(ops.exp(a)), "Exp")
    assert found["y"] == ("output", "g_x = g * y reads it") and found["x"][0] == "not kept"


def test_the_cache_and_the_attributes_of_a_cross_entropy_are_named():
    x = Tensor(np.eye(3, dtype=np.float32), requires_grad=True)
    found = reasons(lambda: ops.cross_entropy(x, np.array([0, 1, 2])), "CrossEntropy")
    assert found["cache[0]"][0] == "cache" and "log-sum-exp" in found["cache[0]"][1]
    assert found["targets"] == ("attribute", "the targets: it has no derivative")
    assert found["reduction"] == ("attribute", "an option of this call")


def test_a_definition_is_followed_to_what_reads_it():
    derivative = "g_h = d @ weight, g_weight = d^T @ h with d = softmax(h @ weight^T), e = h"
    assert readers(derivative, "h") == ["g_h = d @ weight", "g_weight = d^T @ h"]
    assert readers(derivative, "weight") == ["g_h = d @ weight", "g_weight = d^T @ h"]
    assert readers("g_A = g @ B^T, g_B = A^T @ g", "a") == ["g_B = A^T @ g"]
    assert readers("the same in words", "x") == []


# --- the lines with their live shapes -----------------------------------------------------------


@pytest.fixture(scope="module")
def gpt():
    made = EXPLORABLE["gpt"]()
    return graph_document(record(made.loss, made.model), "gpt")


def test_every_line_that_has_a_place_has_a_row_on_its_card(gpt):
    placed = 0
    for step in gpt["steps"]:
        if step["op"] == "":
            continue
        shown = json.loads(text_of(gpt["cards"][step["op"]]["source"]))[step["phase"]]
        rows = {
            (f["file"], f["first"] + i): "".join(w for _, w in line).strip()
            for f in shown
            for i, line in enumerate(f["lines"])
        }
        for n in step["lines"]:
            line = gpt["lines"][n]
            if "row" in line:
                placed += 1
                assert line["text"].startswith(rows[line["file"], line["row"]])
    assert placed > 200


def test_a_readme_is_in_the_page_once_for_all_graphs():
    x = Tensor(np.eye(3), requires_grad=True)
    first, second = (
        part(record(lambda: ops.sum(ops.softmax(x))), None)["Softmax"] for _ in range(2)
    )
    for name in ("derivation", "source"):
        assert np.array_equal(first[name], second[name]) and first[name].dtype == np.int8
    assert folder_of(ops.normalization.Softmax) == "softmax"


def test_the_page_gets_what_is_kept_with_its_tensors():
    a = Tensor([1.0, 2.0], requires_grad=True)
    tape = record(lambda: ops.sum(a * a))
    builder = Builder(tape)
    found = kept_part(tape, builder)
    first = found["steps"]["0"][0]
    assert (
        first["tensor"] == builder.value_items[tape.leaves[0]].id
        and first["bytes"] == a.data.nbytes
    )
    assert "g_b" in found["reasons"][first["why"]]
    json.dumps(found)


def test_a_recomputed_segment_keeps_what_it_reads():
    x = Tensor([1.0, 2.0], requires_grad=True)
    found = reasons(lambda: ops.sum(recompute(ops.tanh, x)), "Recompute")
    assert list(found) == ["read by f (0)"] and "computed again" in found["read by f (0)"][1]
