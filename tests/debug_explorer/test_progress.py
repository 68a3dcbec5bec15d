"""How far a pass has come at a step, as the page computes it: by node, where that is installed."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autograd import Tensor
from autograd.debug.explorer.document import graph_document
from autograd.debug.explorer.page import pack
from autograd.debug.explorer.tape import record

FOLDER = Path(__file__).parents[2] / "autograd/debug/explorer"
PROGRAM = """
import { readFileSync } from "node:fs";
import { Page } from "%(folder)s/data.js";
import { progress, pendingBefore, stateAfter, nextBackward } from "%(folder)s/progress.js";
const page = new Page(JSON.parse(readFileSync(0, "utf8")), new ArrayBuffer(0));
const graph = page.graphs[0], pass = progress(graph);
const key = (id) => graph.tensors[id].key;
const named = graph.tensors.filter((tensor) => tensor.key);
console.log(JSON.stringify(graph.steps.map(({ n }) => ({
  pending: pendingBefore(pass, n).map(({ id, arrived, expected }) => [key(id), arrived, expected]),
  states: Object.fromEntries(named.map((tensor) => [tensor.key, stateAfter(pass, tensor.id, n)])),
  next: nextBackward(graph, n),
}))));
"""


@pytest.fixture(scope="module")
def steps(tmp_path_factory):
    """(steps of b = a + a; c = b * b; loss = c * b, what progress.js says of each)."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed: it runs the page's modules outside a browser")
    a = Tensor(np.array(3.0), requires_grad=True)

    def loss():
        b = a + a
        c = b * b
        return c * b

    graph = graph_document(record(loss, names={"a": a}), "twice", parts={})
    text, _ = pack({"graphs": [graph]})
    program = tmp_path_factory.mktemp("progress") / "program.mjs"
    program.write_text(PROGRAM % {"folder": FOLDER.as_uri()})
    done = subprocess.run([node, program], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return graph["steps"], json.loads(done.stdout)


def test_nothing_is_pending_in_the_forward_pass(steps):
    for step, said in zip(*steps, strict=True):
        if step["phase"] in ("forward", "start"):
            assert said["pending"] == []


def test_the_node_that_is_taken_is_the_first_of_the_pending_and_complete(steps):
    taken = [
        said["pending"] for step, said in zip(*steps, strict=True) if step["phase"] == "backward"
    ]
    assert [pending[0] for pending in taken] == [["loss", 1, 1], ["c", 1, 1], ["b", 3, 3]]
    assert taken[1] == [["c", 1, 1], ["b", 1, 3]], "b has one contribution of three: it must wait"


def test_states_of_the_tensors(steps):
    said = {(s["phase"], s["name"]): d["states"] for s, d in zip(*steps, strict=True)}
    assert said["forward", "b"] == {"a": "made", "b": "current", "c": "waiting", "loss": "waiting"}
    assert said["start", "loss"]["loss"] == "current"
    assert said["backward", "loss"] == {
        "a": "made",
        "b": "pending",
        "c": "pending",
        "loss": "current",
    }
    assert said["leaf", "a"] == {
        "a": "current",
        "b": "complete",
        "c": "complete",
        "loss": "complete",
    }


def test_next_backward(steps):
    turn = next(s["n"] for s in steps[0] if s["phase"] == "start")
    assert steps[1][0]["next"] == turn and steps[1][turn]["next"] == turn + 1
    assert steps[1][-1]["next"] is None
