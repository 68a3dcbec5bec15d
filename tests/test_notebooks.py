"""What a notebook shows: ``_repr_html_`` of tensors, modules, reports and tables; and ``repr``."""

import html
import re
import textwrap
from html.parser import HTMLParser

import numpy as np
import pytest

from autograd import Parameter, Tensor, check_grad, ops
from autograd.debug import draw_graph, explore, profile, record_gradients
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.containers import ModuleDict, Sequential
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.layers import Embedding, LayerNorm, Linear, RMSNorm
from tinygrad_llm.model.module import Module
from tinygrad_llm.model.quantize import quantize_model

SHAPE = GPTConfig(vocab_size=65, block_size=16, n_layer=3, n_head=2, n_embd=8)


class Reader(HTMLParser):
    """The text of a page's cells and lines; raises for tags that are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.cells = [], []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag != "br":
            self.open.append(tag)
        self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.cells[-1] += data


def cells(shown):
    return [cell for cell in Reader(shown._repr_html_()).cells if cell]


# --- modules --------------------------------------------------------------------------------------


def test_a_model_is_a_tree_with_shapes_and_counts():
    assert repr(GPT(SHAPE)) == textwrap.dedent("""\
        GPT(                                                                   3,280
          (wte): Embedding(65, 8)                                                520
          (wpe): Embedding(16, 8)                                                128
          (drop): Dropout(p=0.0)
          (h): ModuleList(                                                     2,616
            (0-2): 3 x Block(                                                3 x 872
              (ln_1): LayerNorm(8, eps=1e-05)                                     16
              (attn): CausalSelfAttention(                                       288
                (c_attn): Linear(in_features=8, out_features=24, bias=True)      216
                (c_proj): Linear(in_features=8, out_features=8, bias=True)        72
                (resid_dropout): Dropout(p=0.0)
              )
              (ln_2): LayerNorm(8, eps=1e-05)                                     16
              (mlp): MLP(                                                        552
                (c_fc): Linear(in_features=8, out_features=32, bias=True)        288
                (c_proj): Linear(in_features=32, out_features=8, bias=True)      264
                (dropout): Dropout(p=0.0)
              )
            )
          )
          (ln_f): LayerNorm(8, eps=1e-05)                                         16
        )""")


def test_what_differs_is_not_one_line():
    model = GPT(SHAPE)
    model.h[1].requires_grad_(False)
    blocks = re.findall(r"\((\S+)\): (?:\d x )?Block\( +(.*)", repr(model))
    assert blocks == [("0", "872"), ("1", "872 frozen"), ("2", "872")]
    q = Sequential(Linear(2, 2), Linear(2, 2), ops.tanh, Linear(2, 2))
    assert [line.split()[0] for line in repr(q).splitlines()] == [
        "Sequential(", "(0-1):", "(2):", "(3):", ")",
    ]  # fmt: skip
    assert "(2): tanh" in repr(q)
    same = ModuleDict({"q_proj": Linear(2, 2), "k_proj": Linear(2, 2)})
    assert "(q_proj): Linear" in repr(same) and "(k_proj): Linear" in repr(same)


def test_parameters_of_a_module_of_ones_own_are_lines():
    class Own(Module):
        def __init__(self):
            self.scale = Parameter(np.ones(3, np.float32))
            self.layers = [Linear(2, 2), Linear(2, 2)]
            self.heads = {"a": LayerNorm(2)}

    assert repr(Own()) == textwrap.dedent("""\
        Own(                                                                     19
          (scale): Parameter(3,) float32                                          3
          (layers.0-1): 2 x Linear(in_features=2, out_features=2, bias=True)  2 x 6
          (heads.a): LayerNorm(2, eps=1e-05)                                      4
        )""")
    assert repr(Module()) == "Module()"


@pytest.mark.parametrize(
    "layer, text",
    [
        (Linear(3, 4, bias=False), "Linear(in_features=3, out_features=4, bias=False)"),
        (Embedding(5, 2, padding_idx=1), "Embedding(5, 2, padding_idx=1)"),
        (LayerNorm((2, 3), bias=False), "LayerNorm((2, 3), eps=1e-05, bias=False)"),
        (LayerNorm(2, 1e-4, False), "LayerNorm(2, eps=0.0001, elementwise_affine=False)"),
        (RMSNorm(4, offset=True), "RMSNorm(4, eps=1e-06, offset=True)"),
    ],
)  # fmt: skip
def test_layers_say_their_options(layer, text):
    assert repr(layer).startswith(text)


def test_a_quantized_layer_says_its_format():
    model = GPT(GPTConfig(vocab_size=64, block_size=16, n_layer=1, n_head=1, n_embd=32))
    quantize_model(model)
    assert "bias=True, INT8)" in repr(model) and "Embedding(64, 32, INT8)" in repr(model)


def test_a_model_as_html_has_the_lines_of_its_repr():
    model = GPT(SHAPE)
    page = model._repr_html_()
    text = "".join(cells(model))
    for line in repr(model).splitlines():
        label = line.strip().split("  ")[0].removesuffix("(")
        assert label == ")" or label in text, label
    assert page.count("<details") == 5 and page.count("<details open") == 1
    evil = Sequential(Linear(1, 1))
    evil.extra_repr = lambda: "<script>"
    assert "<script>" not in evil._repr_html_() and "&lt;script&gt;" in evil._repr_html_()


# --- tensors --------------------------------------------------------------------------------------


def test_a_tensor_is_a_table_of_its_elements():
    x = Parameter(np.arange(6, dtype=np.float32).reshape(2, 3) / 4)
    assert cells(x) == [
        "Parameter of shape (2, 3), float32, requires_grad=True", "0", "1", "2",
        "0", "0", "0.25", "0.5", "1", "0.75", "1", "1.25",
    ]  # fmt: skip
    assert (
        cells(x.sum())[0] == "Tensor of shape (), float32, op=Sum" and "3.75" in cells(x.sum())[1]
    )
    assert cells(Tensor(np.array([3, 4])))[1:] == ["0", "1", "0", "3", "4"]
    for shape in ((0,), (0, 3), (2, 2, 2)):
        assert "<pre>" in Tensor(np.ones(shape))._repr_html_()


def test_a_large_tensor_shows_its_edges():
    big = Tensor(np.arange(200 * 300.0).reshape(200, 300))
    found = cells(big)
    assert len(found) == 1 + 11 + 11 * 12 and found[1:12] == [
        "0", "1", "2", "3", "4", "...", "295", "296", "297", "298", "299",
    ]  # fmt: skip
    assert found[-1] == "6e+04" and found.count("...") == 1 + 10 + 1 + 11


# --- reports and tables -------------------------------------------------------------------------


def test_a_report_lists_its_comparisons():
    x = Tensor(np.array([0.5, 1.5]))
    report = check_grad(lambda x: (x * x).sum(), x)
    found = cells(report)
    assert found[0] == str(report) and found.count("right") == len(report.checks)
    half = lambda x, y: (x * x.detach() + y * y).sum()  # noqa: E731
    wrong = check_grad(half, x, 2 * x.data, raise_on_failure=False)
    assert "#cf222e" in wrong._repr_html_() and "#cf222e" not in report._repr_html_()
    verdicts = [cell for cell in cells(wrong) if cell in ("WRONG", "right")]
    assert verdicts == sorted(verdicts) and set(verdicts) == {"WRONG", "right"}


def test_the_ledger_and_the_profile_are_tables():
    w = Parameter(np.ones(3))
    with profile() as profiled:
        loss = (ops.exp(w) * w).sum()
        ledger = record_gradients(loss)
    found = cells(ledger.explain(w))
    assert found[0].startswith("gradient of") and "used by" in found and "Exp, input 0" in found
    assert "loss = (ops.exp(w) * w).sum()" in found
    found = cells(profiled)
    assert {"Exp", "Multiply", "Sum", "forward ms"} <= set(found)
    totals = profiled.table().splitlines()[-3:]
    assert [line for line in totals if line in found] == totals


def test_a_graph_is_drawn_as_markdown():
    w = Parameter(np.ones(3))
    graph = draw_graph((w * w).sum(), {"w": w})
    assert repr(graph) == "Graph of 3 nodes, of which 1 are leaves"
    assert graph._repr_markdown_() == f"```mermaid\n{graph.mermaid()}```"


def test_the_explorer_is_its_page_in_a_frame(tmp_path):
    w = Parameter(np.ones(3))
    explored = explore((w * w).sum(), tmp_path / "page.html", names={"w": w})
    (frame,) = re.findall(r'<iframe srcdoc="([^"]*)"', explored._repr_html_())
    assert html.unescape(frame) == (tmp_path / "page.html").read_text(encoding="utf-8")
