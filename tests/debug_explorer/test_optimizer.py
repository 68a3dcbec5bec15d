"""The explorer's optimizer: its steps are those of the project's AdamW, and so are the page's."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from autograd import Parameter, Tensor, ops, use_kernels
from autograd.backward import run_backward
from autograd.debug.explorer import optimizer
from autograd.debug.explorer.builtin import BUILTIN
from autograd.debug.explorer.optimizer import Settings, part, sample
from autograd.debug.explorer.tape import record
from tinygrad_llm.config import TrainConfig
from tinygrad_llm.inspect.explorable import EXPLORABLE
from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm

FOLDER = Path(optimizer.__file__).parent
node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")


def tape_of(name):
    made = {**EXPLORABLE, **BUILTIN}[name]()
    return made, record(made.loss, getattr(made, "model", None), getattr(made, "names", None))


def own_loss(dtype=np.float32, rng=None):
    """A function with a matrix, a vector and a number to learn."""
    rng = rng or np.random.default_rng(3)
    matrix, vector, number = (
        Tensor(rng.normal(size=shape).astype(dtype), requires_grad=True)
        for shape in ((3, 4), (4,), ())
    )
    x = rng.normal(size=(5, 3)).astype(dtype)

    def loss():
        y = ops.tanh(x @ matrix + vector) * number
        return ops.mean(y * y)

    return loss, {"matrix": matrix, "vector": vector, "number": number}


@pytest.mark.parametrize("max_norm", [0.05, 0.0, 100.0])
def test_the_steps_are_those_of_the_trainers_optimizer(max_norm):
    """With the trainer's AdamW and clipping, every weight of every step has the same bits."""
    loss, names = own_loss()
    found = part(record(loss, names=names), settings=Settings(max_norm=max_norm, lr=0.01))
    adamw = AdamW(list(names.items()), lr=0.01, betas=(0.9, 0.95), weight_decay=0.1)
    with use_kernels("reference"):
        for t, step in enumerate(found["steps"], 1):
            value = loss()
            value.backward()
            norm = global_norm(names.values())
            assert step["loss"] == value.item() and step["norm"] == norm
            assert step["scale"] == clip_scale(norm, max_norm)
            gradients = {name: p.grad.data.copy() for name, p in names.items()}
            adamw.step(grad_scale=clip_scale(norm, max_norm))
            adamw.zero_grad()
            for p in found["parameters"]:
                assert np.array_equal(p["gradients"][t - 1], gradients[p["key"]])
                assert p["weights"][t].tobytes() == names[p["key"]].data.tobytes()
        assert found["loss_after"] == loss().item()
    decays = {p["key"]: p["decay"] for p in found["parameters"]}
    assert decays == {"matrix": 0.1, "vector": 0.0, "number": 0.0}


def test_the_defaults_are_those_of_training():
    s, options = Settings(), TrainConfig(preset="tiny", optimizer="adamw").with_recipe()
    assert (s.beta1, s.beta2) == (options.beta1, options.beta2)
    assert (s.weight_decay, s.max_norm) == (options.weight_decay, options.grad_clip)
    w = Parameter(np.ones(2, np.float32))
    assert s.eps == AdamW([w]).eps and s.lr == AdamW([w]).lr


def test_the_model_and_its_graph_are_as_before():
    loss, names = own_loss()
    before = {name: (p.data, p.data.copy()) for name, p in names.items()}
    tape = record(loss, names=names)
    part(tape)
    for name, p in names.items():
        assert p.data is before[name][0] and np.array_equal(p.data, before[name][1])
        assert p.grad is None
    root, leaves = tape.loss.node, {value.node for value in tape.leaves}
    again = run_backward([(root, np.ones((), np.float32))], leaves, False, True)
    for value in tape.leaves:  # nothing counts as changed, and the saved numbers are the old ones
        assert np.array_equal(again[value.node][0], value.gradient)


def test_weights_come_back_after_an_error():
    loss, names = own_loss()
    tape = record(loss, names=names)
    own = [p.data for p in names.values()]

    def fails():
        raise RuntimeError("the second call")

    tape.function = fails
    found = part(tape)
    assert len(found["steps"]) == 1 and found["loss_after"] is None
    assert found["note"] == (
        "With the weights after step 1, the function raised RuntimeError when it was called again: "
        "the second call. So there are no more steps."
    )
    assert all(p.data is array for p, array in zip(names.values(), own, strict=True))


def test_one_step_without_a_function_and_with_parameters_of_its_own():
    loss, names = own_loss()
    found = part(record(loss(), names=names))
    assert len(found["steps"]) == 1 and "one step" in found["note"]
    assert found["loss_after"] is None
    assert [len(p["weights"]) for p in found["parameters"]] == [2, 2, 2]

    def makes_its_own():
        w = Tensor(np.ones(3, np.float32), requires_grad=True)
        return ops.sum(w * w)

    assert "of its own" in part(record(makes_its_own))["note"]


def test_large_parameters_are_sampled_and_their_norms_are_of_all(monkeypatch):
    monkeypatch.setattr(optimizer, "WHOLE", 10)
    monkeypatch.setattr(optimizer, "SAMPLE", 8)
    loss, names = own_loss()
    whole = {p["key"]: p for p in part(record(loss, names=names))["parameters"]}
    monkeypatch.setattr(optimizer, "sample", lambda g: sample(g, 8))
    found = {p["key"]: p for p in part(record(loss, names=names))["parameters"]}
    assert found["vector"]["index"] is None
    index = found["matrix"]["index"]
    assert 8 >= len(index) > 5 and len(set(index)) == len(index)
    largest = np.argmax(np.abs(whole["matrix"]["gradients"][0]))
    assert largest in index
    monkeypatch.undo()
    everything = {p["key"]: p for p in part(record(loss, names=names))["parameters"]}["matrix"]
    for name in ("gradients", "weights"):
        for part_of, all_of in zip(found["matrix"][name], everything[name], strict=True):
            assert np.array_equal(part_of, all_of.reshape(-1)[index])
    assert found["matrix"]["move_norm"] == everything["move_norm"]


def test_nothing_to_learn():
    x = Tensor(np.ones(3, np.float16), requires_grad=True)
    assert part(record(lambda: ops.sum(x * x))) == {}


# --- the page's own arithmetic -------------------------------------------------------------------

PROGRAM = """
import { readFileSync } from "node:fs";
import { adamwAgreement, adamwCompare, adamwHistory } from "ADAMW";
const { optimizer, arrays, at, t, planted } = JSON.parse(readFileSync(0, "utf8"));
const types = { float32: Float32Array, float64: Float64Array };
const found = optimizer.parameters.map((parameter, n) => {
  const typed = (list) => list.map((values) => types[arrays[n].dtype].from(values));
  const own = { dtype: arrays[n].dtype, weights: typed(arrays[n].weights),
                gradients: typed(arrays[n].gradients) };
  if (planted) own.weights[planted][0] = Math.fround(own.weights[planted][0] * (1 + 2 ** -23));
  const i = at[n];
  const history = adamwHistory(optimizer, parameter, own, i, t);
  return { ...adamwAgreement(optimizer, parameter, own), last: history[t - 1].p,
           moved: Object.fromEntries(adamwCompare(optimizer, parameter, own, i, t)
             .map((e) => [e.name, e.moved])) };
});
console.log(JSON.stringify(found));
"""


def in_javascript(found, tmp_path, t, planted=0):
    program = tmp_path / "program.mjs"
    shutil.copy(FOLDER / "adamw.js", tmp_path / "adamw.mjs")
    program.write_text(PROGRAM.replace("ADAMW", "./adamw.mjs"))
    arrays = [
        {
            "dtype": str(p["weights"][0].dtype),
            "weights": [w.reshape(-1).tolist() for w in p["weights"]],
            "gradients": [g.reshape(-1).tolist() for g in p["gradients"]],
        }
        for p in found["parameters"]
    ]
    plain = [{k: p[k] for k in ("key", "shape", "decay")} for p in found["parameters"]]
    content = {
        "optimizer": {**found, "parameters": plain},
        "arrays": arrays,
        "at": [0] * len(arrays),
        "t": t,
        "planted": planted,
    }
    done = subprocess.run(
        ["node", str(program)], input=json.dumps(content), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@node
@pytest.mark.parametrize("name", ["gpt", "neuron", "broadcasting"])
def test_the_page_arrives_at_every_stored_weight(name, tmp_path):
    found = part(tape_of(name)[1])
    results = in_javascript(found, tmp_path, t=4)
    for p, result in zip(found["parameters"], results, strict=True):
        assert result["equal"] == result["of"] == 4 * p["weights"][0].size
        assert result["last"] == float(p["weights"][4].reshape(-1)[0])


@node
def test_the_page_arrives_at_float64_weights(tmp_path):
    loss, names = own_loss(np.float64)
    found = part(record(loss, names=names))
    for result in in_javascript(found, tmp_path, t=3):
        assert result["equal"] == result["of"]


@node
def test_a_weight_that_is_off_by_one_bit_is_noticed(tmp_path):
    loss, names = own_loss()
    found = part(record(loss, names=names))
    for result in in_javascript(found, tmp_path, t=4, planted=3):
        assert result["equal"] == result["of"] - 1


@node
def test_what_each_part_of_the_rule_does(tmp_path):
    """Compared with the reference, called without that part."""
    loss, names = own_loss()
    s = Settings(max_norm=0.05)
    found = part(record(loss, names=names), settings=s)
    for p, result in zip(found["parameters"], in_javascript(found, tmp_path, t=2), strict=True):
        start = p["weights"][0]

        def moved(decay=p["decay"], scales=None, l2=0.0, corrected=True, p=p, start=start):
            w, m, v = start, np.zeros_like(start), np.zeros_like(start)
            for t in (1, 2):
                scale = found["steps"][t - 1]["scale"] if scales is None else scales
                g = p["gradients"][t - 1] * scale + l2 * w
                m, v = 0.9 * m + (1 - 0.9) * g, 0.95 * v + (1 - 0.95) * g * g
                c1, c2 = (1 - 0.9**t, 1 - 0.95**t) if corrected else (1, 1)
                before = w
                w = w * (1 - s.lr * decay) - s.lr * (m / c1) / (np.sqrt(v / c2) + s.eps)
            return float((w.astype(np.float64) - before).reshape(-1)[0])

        expected = {
            "as it is": moved(),
            "no clipping": moved(scales=1.0),
            "no bias correction": moved(corrected=False),
            "no decay": moved(decay=0.0),
            "decay in the gradient (Adam with L2)": moved(decay=0.0, l2=p["decay"]),
            "gradient descent": -s.lr
            * float(p["gradients"][1].reshape(-1)[0])
            * found["steps"][1]["scale"],
        }
        assert result["moved"].keys() == expected.keys()
        for name, value in expected.items():
            assert result["moved"][name] == pytest.approx(value, rel=2e-3, abs=1e-9), name


@node
def test_axes_of_charts(tmp_path):
    """Ticks are few, round, in order and inside; positions are finite, whatever the numbers."""
    for name in ("dom", "runcharts"):
        text = (FOLDER / f"{name}.js").read_text().replace("/dom.js", "/dom.mjs")
        (tmp_path / f"{name}.mjs").write_text(text)
    (tmp_path / "program.mjs").write_text(
        """
        import { runScale } from "./runcharts.mjs";
        const cases = [[1, 2, 3], [1e-7, 1e3], [5, 5], [0, 0], [0, 4], [NaN, 1, 2], [], [NaN],
          [-3, 1], [0.1137, 0.1138], [1e-5, 3e-5], [1, 19.9], [2, 1e9], [0, 1e-12]];
        console.log(JSON.stringify(cases.flatMap((values) => [[false, null], [true, null],
          [false, 0]].map(([log, base]) => {
            const s = runScale(values, log, 100, 0, base);
            const usable = values.filter((v) => Number.isFinite(v) && (!log || v > 0));
            return { values: usable, ticks: s.ticks, low: s.low, high: s.high,
              at: [...usable, ...s.ticks].map((v) => s.at(v)) };
          }))));
        """
    )
    done = subprocess.run(
        ["node", str(tmp_path / "program.mjs")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    for case in json.loads(done.stdout):
        ticks = case["ticks"]
        assert ticks == sorted(set(ticks)) and len(ticks) <= 12, case
        assert not case["values"] or ticks, case
        room = 1e-6 * (case["high"] - case["low"])
        assert all(case["low"] - room <= t <= case["high"] + room for t in ticks), case
        assert all(at is not None and -1e-6 <= at <= 100 + 1e-6 for at in case["at"]), case
