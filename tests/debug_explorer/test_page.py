"""The page: what it embeds is what the engine computed, in one file that fetches nothing."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from autograd import Tensor, ops
from autograd.debug import explore
from autograd.debug.explorer.document import from_root, graph_document
from autograd.debug.explorer.page import as_script_data, fill, pack, page, script_of, unpack
from autograd.debug.explorer.tape import record
from autograd.kernels.dispatch import use_kernels
from tinygrad_llm.inspect.explorable import EXPLORABLE

EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(1)><!--{{SCRIPT}}"
TYPES = {"f4": "<f4", "f8": "<f8", "i1": "<i1", "i2": "<i2", "i4": "<i4"}


def array_of(document, arrays, reference):
    kind, shape, offset = document["arrays"][reference["$"]]
    size = int(np.prod(shape, dtype=int))
    return np.frombuffer(arrays, TYPES[kind], size, offset).reshape(shape)


def test_every_embedded_number_equals_a_fresh_run():
    made = EXPLORABLE["gpt"]()
    html = explore(made.loss, model=made.model).html()
    document, arrays = unpack(html)
    (graph,) = document["graphs"]
    shown = {
        (t["kind"], t["name"]): array_of(document, arrays, t["data"])
        for t in graph["tensors"]
        if t["kind"] in ("leaf", "computed", "gradient")
    }
    parameters = dict(made.model.named_parameters())
    with use_kernels("reference"):
        loss = made.loss()
        loss.backward()
    assert shown["computed", "loss"] == loss.data
    for name, parameter in parameters.items():
        assert np.array_equal(shown["leaf", name], parameter.data)
        assert np.array_equal(shown["gradient", name], parameter.grad.data)
    again = record(made.loss, made.model)
    compared = 0
    for value in again.values:
        if value.kind == "computed":
            assert np.array_equal(shown["computed", value.key], value.array)
            assert np.array_equal(shown["gradient", value.key], value.gradient)
            compared += 1
    assert compared == len(again.calls) == 22


class Read(HTMLParser):
    """The elements of a page with their attributes."""

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.elements = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))


def test_the_page_may_run_its_own_script_and_fetch_nothing():
    x = Tensor(np.ones(2), requires_grad=True)
    html = explore(ops.sum(x * x), names={EVIL: x}, title=EVIL).html()
    elements = Read(html).elements
    tags = [tag for tag, _ in elements]
    assert tags.count("script") == 3
    assert not {"img", "link", "iframe", "object", "embed", "base", "form"} & {*tags}
    for _, attributes in elements:
        assert not {"src", "href", "action", "onerror", "onload"} & {*attributes}
    (policy,) = [a["content"] for _, a in elements if a.get("http-equiv")]
    script = re.search(r'<script type="module">(.*)</script>', html, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "default-src 'none'" in policy and "connect-src 'none'" in policy
    assert not re.search(r"\bhttps?://(?!www\.w3\.org/)|@import|url\((?!#)", html)


def test_script_data_survives_what_html_could_end():
    value = {"a": EVIL, "b": "\u2028\u2029", "c": [float("nan"), float("inf"), -float("inf"), 1.5]}
    text = as_script_data(value)
    assert not set("<>&\u2028\u2029") & set(text)
    assert json.loads(text) == {**value, "c": ["nan", "inf", "-inf", 1.5]}


def test_a_field_s_text_is_not_a_template():
    assert fill("a {{X}} b {{Y}}", {"X": "{{Y}}", "Y": "{{X}}"}) == "a {{Y}} b {{X}}"


def test_equal_arrays_are_stored_once_and_types_survive():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    values = {"a": a, "b": a.copy(), "c": a.T, "d": a > 2, "e": a.astype(np.float16), "f": a[:0],
              "g": np.int64(7), "h": np.arange(3), "i": [a.reshape(3, 2)]}  # fmt: skip
    text, arrays = pack(values)
    document = json.loads(text)
    assert document["a"] == document["b"] != document["i"][0]
    assert document["g"] == 7
    for key in "abcdefh":
        found = array_of(document, arrays, document[key])
        assert found.shape == values[key].shape and np.array_equal(found, values[key])
    offsets = [offset for _, _, offset in document["arrays"]]
    assert len(set(offsets)) < len(offsets) and all(offset % 8 == 0 for offset in offsets)


@pytest.mark.parametrize(
    ("modules", "message"),
    [
        ({"a": "const x = 1;\n", "b": "function x() {}\n"}, "b.js and a.js both define x"),
        ({"a": 'import { y } from "./c.js";\n'}, "a.js imports c.js, which is not in"),
        ({"a": 'import * as c from "./c.js";\n'}, "a.js: cannot join 'import"),
        ({"a": 'const x = "</script>";\n'}, "which would end the script"),
    ],
)
def test_modules_that_do_not_go_together(tmp_path, modules, message):
    for name, text in modules.items():
        (tmp_path / f"{name}.js").write_text(text)
    with pytest.raises(ValueError, match=re.escape(message)):
        script_of(tmp_path)


def test_modules_come_after_what_they_import(tmp_path):
    (tmp_path / "a.js").write_text('import { b } from "./b.js";\nexport const a = b + 1;\n')
    (tmp_path / "b.js").write_text("export const b = 1;\n")
    script = script_of(tmp_path)
    assert script.index("const b = 1;") < script.index("const a = b + 1;")
    assert "import" not in script and "export" not in script


def test_no_folder_of_the_writer_is_on_the_page(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    assert from_root(str(tmp_path / "package" / "module.py")) == "package/module.py"
    assert from_root("/somewhere/else/train.py") == "train.py"
    assert from_root("train.py") == "train.py" and from_root("<stdin>") == "<stdin>"


def test_a_large_tensor_is_sampled_with_exact_statistics():
    rng = np.random.default_rng(0)
    x = Tensor(rng.standard_normal((300, 200)), requires_grad=True)
    graph = graph_document(record(lambda: ops.sum(x * x)), "large", parts={})
    tensor = next(t for t in graph["tensors"] if t.get("key") == "x")
    rows, columns = tensor["sample"]
    assert rows[0] == 0 and rows[-1] == 299 and columns[-1] == 199
    assert np.array_equal(tensor["data"], x.data[np.ix_(rows, columns)])
    assert tensor["data"].size <= 4096
    assert tensor["stats"]["mean"] == pytest.approx(x.data.mean(), rel=1e-12)
    assert tensor["stats"]["norm"] == pytest.approx(np.linalg.norm(x.data), rel=1e-12)
    assert sum(tensor["stats"]["histogram"]) == tensor["stats"]["size"] == 60_000


def test_a_huge_graph_stays_a_small_page():
    x = Tensor(np.ones((64, 64), np.float32), requires_grad=True)

    def loss():
        h = x
        for _ in range(400):
            h = ops.tanh(h @ x)
        return ops.sum(h)

    graph = graph_document(record(loss), "deep")
    html = page({"graphs": [graph]}, "deep")
    assert len(html) < 4_000_000
    phases = [step["phase"] for step in graph["steps"]]
    assert phases.count("forward") == phases.count("backward") == 801
