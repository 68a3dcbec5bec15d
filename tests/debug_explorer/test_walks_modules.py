"""What the page makes of walks, contributions and questions: its modules, run by node."""

import base64
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autograd.debug.explorer import walks
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import pack
from autograd.debug.explorer.tape import record
from tinygrad_llm.config import GPTConfig
from tinygrad_llm.model.gpt import GPT

HERE = Path(__file__).parent
MODULES = HERE.parent.parent / "autograd" / "debug" / "explorer"
node = shutil.which("node")
pytestmark = pytest.mark.skipif(node is None, reason="needs node, which runs the page's modules")


def checked(graphs, path):
    """What check_walks.mjs found in these graphs."""
    data, arrays = pack({"graphs": graphs})
    path.write_text(f"{data}\n{base64.b64encode(arrays).decode()}")
    command = [node, HERE / "check_walks.mjs", MODULES, path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def tapes():
    rng = np.random.default_rng(3)
    config = GPTConfig(n_layer=2, n_head=2, n_embd=16, block_size=8, vocab_size=24, dropout=0.0)
    model = GPT(config)
    for p in model.parameters():
        p.assign_(p.data + rng.standard_normal(p.shape).astype(p.dtype) * 0.3)
    ids = np.array([[3, 5, 3, 7, 5, 3, 1, 2, 9]])
    made = {"gpt": record(lambda: model.loss(ids[:, :-1], ids[:, 1:]), model)}
    for name, make in BUILTIN.items():
        b = make()
        made[name] = record(b.loss, names=b.names)
    return made


@pytest.fixture(scope="module")
def found(tapes, tmp_path_factory):
    parts = {"walks": walks.part}
    graphs = [graph_document(tape, name, parts=parts) for name, tape in tapes.items()]
    return checked(graphs, tmp_path_factory.mktemp("walks") / "data")


def test_every_sentence_is_one(found):
    assert found["silent"] == []


def test_the_smallest_graph_as_it_is_told(found):
    example = found["graphs"]["twice"]["examples"]["reuse"]
    newest, once = example["newest"]["events"], example["once"]["events"]
    assert [e["sentence"] for e in newest] == [
        "The pass starts at c: its gradient is 1.",
        "Both contributions to it have arrived: the gradient of b is complete. It hands on 12.",
        "a, a leaf: both contributions to it have arrived. It keeps 24.",
    ]
    assert once[1]["sentence"] == (
        "b runs too early: 1 of 2 contributions have arrived. It hands on 6; complete it is 12."
    )
    assert once[1]["early"] and once[1]["waits"] == ["c (input 1)"] and once[1]["worst"] == -6
    assert once[4]["sentence"].endswith("But b has run already: this part goes no further.")
    every = example["every"]["events"][4]["sentence"]
    assert every.endswith("It handed on 6 before, and that is counted again.")
    assert example["once"]["outcome"] == {"wrong": [0], "leaves": 1}


def test_the_page_reads_the_walks_as_they_were_recorded(found, tapes):
    for name, tape in tapes.items():
        recorded, read = walks.part(tape)["this"], found["graphs"][name]["walks"]
        for kind in ("newest", "once", "every"):
            walk, events = recorded["walks"][kind], read[kind]["events"]
            assert [walks.KINDS.index(e["kind"]) for e in events] == walk["kind"].tolist()
            assert [i for i, e in enumerate(events) if e["early"]] == walk["early"].tolist()
            wrong = [v == "wrong" for v in walk["results"]["verdict"]]
            assert len(read[kind]["outcome"]["wrong"]) == sum(wrong)
            edges = len(recorded["edges"])
            assert events[-1]["delivered"] == edges  # each part arrives in the end


def test_the_sums_of_the_ledger_are_the_engines_gradients(found, tapes):
    compared = 0
    for name, tape in tapes.items():
        accounts = found["graphs"][name]["accounts"]
        values = {v.key: v for v in tape.values if v.contributions}
        assert set(accounts) == set(values)
        for key, account in accounts.items():
            value, total = values[key], account["sum"]
            assert len(account["uses"]) == len(value.contributions)
            assert total["equal"] == total["elements"] == value.gradient.size, (name, key)
            last = np.asarray(value.contributions[-1].array, np.float64).reshape(-1)
            np.testing.assert_array_equal(account["last"], last)
            off = last - np.asarray(value.gradient, np.float64).reshape(-1)
            assert account["assigned"]["length"] == pytest.approx(float(np.linalg.norm(off)))
            assert account["assigned"]["equal"] == int((off == 0).sum())
            compared += 1
        twice = [key for key, value in values.items() if len(value.contributions) > 1]
        assert set(found["graphs"][name]["twice"]) == set(twice)
    assert compared > 100


def test_contributions_that_are_sums_themselves(found):
    accounts = found["graphs"]["gpt"]["accounts"]
    bias = accounts["h.0.ln_1.bias"]["inner"][0]
    assert len(bias) == 8 + 1  # one term for each position, and what they add up to
    assert np.sum(bias[:-1]) == pytest.approx(bias[-1], rel=1e-5)
    column = found["graphs"]["broadcasting"]["accounts"]["column"]["inner"][0]
    assert len(column) == 4 + 1 and np.sum(column[:-1]) == pytest.approx(column[-1], rel=1e-6)
    assert accounts["h.0.x"]["inner"] == [None, None]


def test_a_token_that_occurs_twice_and_the_tied_table(found):
    table = found["graphs"]["gpt"]["accounts"]["wte.weight"]
    assert [op for op, _ in table["uses"]] == ["LinearCrossEntropy", "Embedding"]
    head, rows = table["rows"]
    assert head is None
    positions = {row["row"]: row["from"] for row in rows}
    assert positions == {3: [0, 2, 5], 5: [1, 4], 7: [3], 1: [6], 2: [7]}


def test_a_contribution_that_was_lost_is_noticed(tapes, tmp_path):
    """A planted bug: the gradient of a stream with one of its contributions missing."""
    document = graph_document(tapes["residual"], "residual", parts={})
    tensors = document["tensors"]
    stream = next(t for t in tensors if t and t.get("key") == "h")
    gradient = next(t for t in tensors if t["kind"] == "gradient" and t["of"] == stream["id"])
    parts = [t for t in tensors if t["kind"] == "contribution" and t["of"] == stream["id"]]
    assert len(parts) == 2
    gradient["data"] = parts[1]["data"]
    account = checked([document], tmp_path / "data")["graphs"]["residual"]["accounts"]["h"]
    assert account["sum"]["equal"] < account["sum"]["elements"]
    assert account["sum"]["ulps"] > 100
    assert account["assigned"]["equal"] == account["assigned"]["elements"]


def test_questions_have_one_right_answer_and_it_is_the_engines(found, tapes):
    kinds = set()
    for name, tape in tapes.items():
        document = graph_document(tape, name, parts={})
        questions = found["graphs"][name]["questions"]
        asked = {q["n"] for q in questions}
        handing_on = {s["n"] for s in document["steps"] if s["phase"] == "backward"}
        assert asked == handing_on
        for q in questions:
            tensor = document["tensors"][q["tensor"]]
            kinds.add(q["kind"])
            assert tensor["kind"] == "contribution" and tensor["step"] == q["n"]
            if q["choices"]:
                assert q["choices"].count(q["answer"]) == 1
                assert len(set(q["choices"])) == len(q["choices"]) >= 2
            if q["kind"] == "shape":
                shape = tuple(tensor["shape"])
                assert q["answer"] == (str(shape) if shape else "one number")
                continue
            x = float(tensor["data"][tuple(q["cell"])])
            if q["kind"] == "sign":
                assert q["answer"] == ("positive" if x > 0 else "negative" if x < 0 else "zero")
            else:
                assert q["answer"] == pytest.approx(x, rel=1e-6)
                same, _, minus, far, word = q["agrees"]
                assert same is True and minus is False and far is False and word is None
    assert kinds == {"shape", "sign", "value"}


def test_the_right_choice_has_no_place_of_its_own(found):
    places = [
        q["choices"].index(q["answer"])
        for graph in found["graphs"].values()
        for q in graph["questions"]
        if q["kind"] == "shape" and q["wanted"] == "shape" and len(q["choices"]) == 4
    ]
    assert len(places) > 30 and max(np.bincount(places, minlength=4)) < 0.5 * len(places)
