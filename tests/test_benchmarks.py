"""Every benchmark runs in its smallest form and prints what it should. Nothing is timed here."""

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from small_mmlu import write_mmlu
from small_models import small_model, small_tokenizer

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.machine.stages import STAGES
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.pretrained.gguf_save import save_gguf
from tinygrad_llm.pretrained.llama import save_llama
from tinygrad_llm.tokenizer import train_bpe

ROOT = Path(__file__).parent.parent
NUMBER = r"[\d,]+\.?\d*"


def run(name, *arguments, code=0, **variables):
    """Run a benchmark in a process of its own; (standard output, standard error)."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / f"{name}.py"), *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg", **variables},
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout, done.stderr


def without(tmp_path, *packages):
    """A PYTHONPATH with which these packages cannot be imported, as if not installed."""
    for package in packages:
        text = f"raise ModuleNotFoundError(\"No module named '{package}'\")\n"
        (tmp_path / f"{package}.py").write_text(text)
    return {"PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}


def test_every_benchmark_is_tested():
    names = {p.stem for p in (ROOT / "benchmarks").glob("[!_]*.py")}
    assert names == {
        "op_overhead", "train_step", "stages", "kernels", "scaling", "memory", "tokenizer",
        "startup", "generate", "finetune", "eval", "explorer",
    }  # fmt: skip


# --- train_step -----------------------------------------------------------------------------------


def check_engine(one):
    rate = one["tokens_per_second"]
    assert 0 < rate["min"] <= rate["median"] <= rate["max"]
    assert one["peak_rss_bytes"] > 1e7 and one["steps"] == 2


def test_train_step_without_peers(tmp_path):
    out, err = run("train_step", "--smoke", "--json", **without(tmp_path, "torch", "jax"))
    found = json.loads(out)
    assert set(found) >= {
        "config", "ours", "peers", "ratios", "share_of_gemm_peak", "environment",
    }  # fmt: skip
    check_engine(found["ours"])
    assert found["peers"] == found["ratios"] == {}
    assert set(found["skipped"]) == {"torch", "torch-avx512"}
    assert "torch eager: skipped, No module named 'torch'" in err
    assert "BLAS core type" in err and "share of the sgemm peak" in err

    c = found["config"]
    flops = 6 * (12 * c["L"] * c["C"] ** 2 + c["V"] * c["C"]) + 6 * c["L"] * c["C"] * c["T"]
    assert found["flops_per_token"] == flops
    peak = max(rates["median"] for rates in found["gemm_flops"].values())
    share = found["ours"]["tokens_per_second"]["median"] * flops / peak
    assert found["share_of_gemm_peak"] == pytest.approx(share)
    assert {"versions", "blas_core_type", "kernel_threads", "threading_layer"} <= set(
        found["environment"]
    )


@pytest.mark.skipif(find_spec("torch") is None, reason="PyTorch is not installed")
def test_train_step_against_torch_computes_the_same(tmp_path):
    path, picture = tmp_path / "figures.json", tmp_path / "curves.png"
    bf16 = ["--precision", "bf16", "--activations", "bf16", "--peers", "torch,torch-bf16"]
    check = ["--check-losses", "--seed", "1", "2", "--picture", picture]
    out, _ = run("train_step", "--smoke", *bf16, *check, "--json", path)
    found = json.loads(path.read_text())
    for name in ("torch", "torch-bf16"):
        one = found["peers"][name]
        check_engine(one)
        rates = (e["tokens_per_second"]["median"] for e in (found["ours"], one))
        assert found["ratios"][name] == pytest.approx(next(rates) / next(rates))
        assert one["mode"] == "eager" and one["gemm_flops"] > 1e6
        assert re.search(rf"^{name} +eager +{NUMBER} ", out, re.M), out
    assert f"bf16 products: {found['method'] or 'in float32'}" in out
    assert re.search(r"memory of a step against torch-bf16: .* \(target: at most 0.8\)$", out, re.M)
    assert re.search(r"memory of a step against torch: \d\.\d\d$", out, re.M)

    half = "ours bf16, keeping bf16"
    first, second = found["orders"]
    assert (first["seed"], second["seed"]) == (1, 2) and first["losses"] != second["losses"]
    assert set(first["losses"]) == {"ours float32", half, "torch", "torch-bf16"}
    curves = {name: np.array(curve) for name, curve in first["losses"].items()}
    for name, curve in curves.items():
        assert len(curve) == 50 and curve[-1] < curve[0]
        apart = np.abs(curve - curves["ours float32"])
        assert apart.max() < (1e-3 if name == "torch" else 0.05)
        assert (name == "ours float32") == (apart.max() == 0), "each computes in its own way"
        if name != "ours float32":
            one = first["distances"][f"{name} to ours float32"]
            assert one["mean"] == pytest.approx(apart.mean())
            assert one["largest"] == apart[one["at_step"] - 1] == apart.max()
    assert first["judgement"]["ours"] == first["distances"][f"{half} to ours float32"]["mean"]
    both = [order["judgement"]["excess"] for order in found["orders"]]
    assert found["judgement"]["excess"] == pytest.approx(np.mean(both))
    assert found["judgement"]["error"] == pytest.approx(np.ptp(both) / 2)
    assert out.count("in this order of batches") == 2 and "in 2 orders of batches" in out
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_whether_our_curve_is_farther_from_float32(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from _loss_curves import judge, judge_orders

    rng = np.random.default_rng(0)
    exact = np.linspace(4, 3, 100)

    def judged(ours, theirs):
        noise = 1e-3 * rng.standard_normal((2, 100))
        curves = {"ours float32": exact, "ours bf16": exact + ours * noise[0]}
        return judge(curves | {"torch-bf16": exact + theirs * noise[1]})

    assert judged(1, 2)["holds"] and judged(1, 2)["excess"] < 0
    assert judged(1, 1)["holds"], "both are as far"
    far = judged(2, 1)
    assert not far["holds"] and far["excess"] == pytest.approx(far["ours"] - far["torch"])

    orders = [judged(1, 1) for _ in range(4)]
    assert judge_orders(orders)["holds"]
    assert not judge_orders([judged(2, 1) for _ in range(4)])["holds"]
    sure, unsure = (
        [{"ours": 2 + e, "torch": 1, "excess": 1 + e} for e in (-d, d)] for d in (0.1, 3)
    )
    assert not judge_orders(sure)["holds"] and judge_orders(unsure)["holds"]


@pytest.mark.parametrize(
    "arguments, expected",
    [
        (["--peers", "caffe"], "choose among torch, torch-avx512, torch-bf16, jax"),
        (["--check-losses", "301"], "between 1 and 300"),
        (["--steps", "0"], "at least 1, or 0 with --check-losses"),
        (["--check-losses", "--seed", "1", "2", "1"], "names an order twice"),
        (["--peer-python", "torch"], "give one of ours, torch"),
        (["--mode", "torch=slow"], "choose among torch=eager, torch=fused"),
    ],
)
def test_train_step_refuses_what_it_does_not_know(arguments, expected):
    _, err = run("train_step", "--smoke", *arguments, code=2)
    assert expected in err


def test_a_peer_with_other_losses_is_noticed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from train_step import Race

    Race.compare("peer", [4.0, 3.0], [4.0005, 2.9995], 1e-3)
    with pytest.raises(SystemExit, match="peer computes a different loss: at step 2"):
        Race.compare("peer", [4.0, 3.0], [4.0, 3.002], 1e-3)
    with pytest.raises(SystemExit, match="step 1"):
        Race.compare("peer", [4.0], [float("nan")], 1e-3)


# --- stages ---------------------------------------------------------------------------------------


def test_stages(tmp_path):
    path = tmp_path / "stages.json"
    out, err = run("stages", "--smoke", "--markdown", "--json", path)
    assert "BLAS core type" in err
    found = json.loads(path.read_text())
    stages = found["stages"]
    assert [one["name"] for one in stages] == [stage.name for stage in STAGES]
    medians = [one["seconds"]["median"] for one in stages]
    c = found["config"]
    for before, own, one in zip([medians[0], *medians], medians, stages, strict=False):
        assert 0 < one["seconds"]["min"] <= own <= one["seconds"]["max"]
        assert one["saved_seconds"] == before - own
        assert one["times_the_stage_before"] == before / own
        assert one["times_the_first"] == medians[0] / own
        assert one["peak_rss_bytes"] > 1e7
        assert re.search(rf"^\| {re.escape(one['name'])} \| {NUMBER} \| ", out, re.M), out
    assert sum(one["saved_seconds"] for one in stages) == pytest.approx(medians[0] - medians[-1])
    flops = 6 * (12 * c["L"] * c["C"] ** 2 + c["V"] * c["C"]) + 6 * c["L"] * c["C"] * c["T"]
    peak = max(rates["median"] for rates in found["gemm_flops"].values())
    share = flops * c["B"] * c["T"] / medians[-1] / peak
    assert stages[-1]["share_of_gemm_peak"] == pytest.approx(share)
    assert np.ptp(found["losses"], axis=0).max() < 1e-5 < found["losses"][0][0]


def test_a_stage_with_other_losses_is_noticed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from stages import check_losses

    losses = [[4.0, 3.0] for _ in STAGES]
    losses[4] = [4.0005, 2.9995]
    check_losses(losses)
    for wrong in (3.002, float("nan")):
        losses[4] = [4.0, wrong]
        with pytest.raises(SystemExit, match=f"{re.escape(STAGES[4].name)}.* at step 2 its"):
            check_losses(losses)


def test_the_page_on_performance_has_the_table_of_the_benchmark(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from stages import HEAD

    page = (ROOT / "docs" / "performance.md").read_text()
    block = page.partition("--markdown -->\n")[2].partition("<!-- end -->")[0]
    rows = [line.split(" | ") for line in block.splitlines() if line.startswith("| ")]
    assert [cell.strip("| ") for cell in rows[0]] == list(HEAD)
    assert [row[0].strip("| ") for row in rows[2:]] == [stage.name for stage in STAGES]
    for stage in STAGES:
        paragraph = f"**{stage.name.removeprefix('+ ')}.**"
        assert paragraph.lower() in page.lower(), "each stage has a paragraph"


# --- the others -----------------------------------------------------------------------------------


def test_kernels(tmp_path):
    path = tmp_path / "kernels.json"
    out, _ = run("kernels", "--smoke", "--json", path, **without(tmp_path, "torch"))
    assert "torch: skipped, No module named 'torch'" in out
    found = json.loads(path.read_text())
    folders = {p.parent.name for p in (ROOT / "autograd" / "kernels").glob("*/reference.py")}
    assert {one["op"] for one in found["kernels"]} | {"product"} == folders
    for one in found["kernels"]:
        assert one["rate"] > 0 and set(one["seconds"]) == {"kernel", "reference"}
        assert re.search(rf"^{one['op']} +little +{one['direction']} +{NUMBER}", out, re.M)
    assert re.search(r"limits: copying \d+\.\d GB/s, sgemm 2048\^3 \d+ GFLOP/s", out)
    assert "never faster than their reference: " in out

    assert [(one["M"], one["K"], one["N"]) for one in found["products"]] == [
        (32, 32, 96), (32, 96, 32), (96, 32, 32),
    ]  # fmt: skip
    for one in found["products"]:
        flops = one["flops"]
        assert set(flops) == {"sgemm", "float32", "bf16", "bf16, packed"}
        assert (flops["bf16, packed"] is None) == (found["method"] is None)
        assert all(rate is None or rate > 0 for rate in flops.values())
        assert re.search(rf"^little +qkv {one['direction']}( +\d+){{6,8}}", out, re.M), out
    assert (found["limits"]["bf16"] is None) == (found["method"] is None)
    assert f"bf16 products: {found['method'] or 'in float32'}" in out


def test_memory(tmp_path):
    path = tmp_path / "memory.json"
    out, _ = run("memory", "--smoke", "--json", path)
    tape = json.loads(path.read_text())["tape"]
    assert sum(tape["kept"]["held"].values()) == tape["kept"]["peak"]
    assert set(tape["kept"]["held"]) >= {"Linear", "CausalAttention", "LayerNorm", "FeedForward"}
    assert tape["recomputed"]["peak"] < tape["kept"]["peak"]
    assert re.search(r"^kept +\d.* MB .* MB ", out, re.M)
    assert re.search(r"^recomputing keeps \d+\.\d% of the tape$", out, re.M)
    assert "LoRA as stored" not in tape, "there is no file"
    cost = tape["kept"]["cost"]
    assert 3 * cost["weight_bytes"] == cost["training_bytes"] == 12 * cost["trained"]


def test_memory_of_a_file_with_adapters(tmp_path):
    model = small_model("llama")
    save_gguf(model, small_tokenizer(), tmp_path / "model.gguf", "q8_0")
    path = tmp_path / "memory.json"
    arguments = ["--model", tmp_path / "model.gguf", "--length", 8, "--smoke", "--json", path]
    out, _ = run("memory", *arguments)
    tape = json.loads(path.read_text())["tape"]
    costs = {kind: one["cost"] for kind, one in tape.items()}
    assert costs["kept"]["trained"] == costs["kept"]["total"] == model.num_parameters()
    lora = costs["LoRA"]
    assert lora["trained"] == lora["total"] - model.num_parameters() > 0
    for kind in ("LoRA on int8", "LoRA as stored"):
        assert costs[kind]["trained"] == lora["trained"]
        assert costs[kind]["weight_bytes"] < lora["weight_bytes"] < costs["kept"]["training_bytes"]
        assert re.search(rf"^{kind} +{lora['trained']:,} ", out, re.M), out
    assert tape["LoRA"]["peak"] < tape["kept"]["peak"]


def test_scaling(tmp_path):
    picture, path = tmp_path / "scaling.png", tmp_path / "scaling.json"
    out, _ = run("scaling", "--smoke", "--out", picture, "--json", path)
    assert picture.read_bytes().startswith(b"\x89PNG")
    one = json.loads(path.read_text())["axes"]["B"]
    assert one["sizes"] == [1, 2]
    small, large = one["values"]["tape"]
    assert one["exponents"]["tape"] == pytest.approx(np.log2(large / small))
    assert 0.9 < one["exponents"]["tape"] < 1.1, "what is kept grows with the batch"
    assert re.search(r"^~ B\^ +-?\d", out, re.M)


def test_the_exponent_of_a_power(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from scaling import exponent

    assert exponent([1, 2, 8], [3.0, 12.0, 192.0]) == pytest.approx(2)


def test_tokenizer(tmp_path):
    out, _ = run("tokenizer", "--smoke", **without(tmp_path, "tokenizers"))
    assert "tokenizers: skipped, No module named 'tokenizers'" in out
    for work in ("train", "encode", "encode, 1 thread"):
        assert re.search(rf"^ours +{work} +\d+\.\d\d ", out, re.M), out


def test_tokenizer_against_the_library():
    pytest.importorskip("tokenizers", reason="tokenizers is not installed")
    out, _ = run("tokenizer", "--smoke")
    counts = re.findall(r"^\w.* encode.* ([\d,]+)$", out, re.M)
    assert len(counts) == 4 and len(set(counts)) == 1, out


def test_explorer_without_a_browser(tmp_path):
    out, _ = run("explorer", "--smoke", code=1, **without(tmp_path, "playwright"))
    assert "needs chromium and the playwright package" in out


@pytest.mark.skipif(find_spec("playwright") is None, reason="needs the extra 'browser'")
@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs chromium")
def test_explorer():
    out, _ = run("explorer", "--smoke")
    for page in ("default", "40 operations"):
        assert re.search(rf"^{page}(?: +{NUMBER}){{3}} +\w[\w ]*(?: +{NUMBER}){{3}}$", out, re.M), (
            out
        )


def test_startup():
    out, _ = run("startup", "--smoke")
    assert re.search(
        r"^import autograd beyond NumPy: -?\d\.\d+ s \(target: under 0.15 s\)", out, re.M
    )
    assert re.search(r"^tinygrad-llm --help: \d\.\d+ s \(target: under 0.5 s\)", out, re.M)


# --- generate -------------------------------------------------------------------------------------


def test_generate(tmp_path):
    config = LlamaConfig(vocab_size=300, block_size=64, n_layer=1, n_head=2, n_embd=32, n_hidden=32)
    save_llama(Llama(config), tmp_path / "model")
    engines = "ours:float32,ours:int8,llama.cpp:f32"
    model = tmp_path / "model"
    out, err = run("generate", "--model", model, "--engines", engines, "--smoke", "--json")
    found = json.loads(out)
    assert found["skipped"] == {"llama.cpp:f32": "there is no file for it"}
    assert set(found["engines"]) == {"ours:float32", "ours:int8"}
    for one in found["engines"].values():
        for what in ("prefill 8", "decode 1", "decode 8"):
            assert 0 < one[what]["min"] <= one[what]["median"] <= one[what]["max"]
        assert one["share_of_bandwidth"] > 0
    matrices = 300 * 32 + 4 * 32 * 32 + 3 * 32 * 32  # the table of tokens is looked up
    vectors = 3 * 32
    assert found["engines"]["ours:float32"]["bytes_per_token"] == 4 * (matrices + vectors)
    rows = 300 + 7 * 32
    expected = matrices + 4 * (rows + vectors)
    assert found["engines"]["ours:int8"]["bytes_per_token"] == expected
    (ratio,) = found["ratios"]
    assert ratio["ours"] == "ours:float32 decode 8" and ratio["target"] == 3
    one = found["engines"]["ours:float32"]
    assert ratio["median"] == pytest.approx(one["decode 8"]["median"] / one["decode 1"]["median"])
    assert "ours:int8 reads" in err and "a sum on every core reads" in err


@pytest.mark.parametrize(
    "arguments, message",
    [(("--engines", "vllm"), "--engines vllm: choose among ours:float32"),
     ((), "--model is missing"), (("--model", "x", "--batches", "9"), "numbers from 1 to 8")],
)  # fmt: skip
def test_generate_refuses(arguments, message):
    out, err = run("generate", *arguments, code=2)
    assert message in err and "Traceback" not in err


# --- finetune -------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path):
    """A folder with a model, and a file of pairs of which some fit into 20 tokens."""
    save_pretrained(small_model("llama"), small_tokenizer(), tmp_path / "model")
    rows = [{"prompt": f"say {i}", "chosen": "the cat", "rejected": f"no {i}"} for i in range(40)]
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    return tmp_path


@pytest.mark.skipif(find_spec("peft") is None, reason="peft is not installed")
def test_finetune_against_torch_computes_the_same(pairs):
    arguments = ["--model", pairs / "model", "--engines", "ours,torch", "--smoke", "--json"]
    out, err = run("finetune", *arguments, "--work", "full,dpo,grpo")
    found = json.loads(out)["kinds"]
    assert set(found) == {"full", "dpo", "grpo"}
    for kind, one in found.items():
        for name in ("ours", "torch"):
            engine = one["engines"][name]
            assert 0 < engine["rate"]["min"] <= engine["rate"]["median"] <= engine["rate"]["max"]
            assert engine["peak_rss_bytes"] > 1e7
            assert len(engine["losses"]) == (0 if kind == "grpo" else 3)
            assert re.search(rf"^{kind}, .*/s +{name} +{NUMBER} ", err, re.M), err
        ratio = one["ratios"]["torch"]
        assert ratio["min"] <= ratio["median"] <= ratio["max"]
        ours, theirs = (one["engines"][name]["peak_rss_bytes"] for name in ("ours", "torch"))
        assert ratio["memory"] == pytest.approx(ours / theirs)
    assert found["dpo"]["engines"]["ours"]["losses"][0] == pytest.approx(np.log(2), abs=1e-6)
    for text in ("full: 8 tokens a step, 8 labels", "dpo: 16 tokens a step, 8 labels"):
        assert text in err


def test_finetune_with_the_rows_of_a_file(pairs):
    arguments = ["--model", pairs / "model", "--work", "dpo", "--engines", "ours,torch-avx512"]
    file = ["--data", pairs / "pairs.json", "--batch", 3, "--smoke", "--length", 20, "--json"]
    out, err = run("finetune", *arguments, *file, **without(pairs, "torch"))
    (one,) = json.loads(out)["kinds"].values()
    assert set(one["engines"]) == {"ours"} and one["ratios"] == {}
    assert one["engines"]["ours"]["losses"][0] == pytest.approx(np.log(2), abs=1e-6)
    assert "torch-avx512 skipped, No module named 'torch'" in err
    tokens, labels = map(int, re.search(r"dpo: (\d+) tokens a step, (\d+) labels", err).groups())
    assert 0 < labels < tokens < 3 * 2 * 20


def test_fine_tuning_with_other_losses_is_noticed(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    from finetune import check_losses

    check_losses("lora", {"ours": [4.0, 3.0], "torch": [4.0005, 2.9995]})
    for wrong in (3.002, float("nan")):
        with pytest.raises(SystemExit, match="lora: torch computes a different loss: at step 2"):
            check_losses("lora", {"ours": [4.0, 3.0], "torch": [4.0, wrong]})


@pytest.mark.parametrize(
    "arguments, message",
    [(("--engines", "jax"), "--engines jax: choose among ours, torch"),
     (("--work", "ppo"), "--work ppo: choose among full, lora, dpo, grpo"),
     ((), "--model is missing"), (("--model", "x", "--group", "0"), "--group is too small")],
)  # fmt: skip
def test_finetune_refuses(arguments, message):
    _, err = run("finetune", *arguments, code=2)
    assert message in err and "Traceback" not in err


# --- eval -----------------------------------------------------------------------------------------


@pytest.fixture
def small_evals(tmp_path):
    """The arguments of eval.py: a model directory, and small MMLU and GSM8K."""
    tokenizer = train_bpe(["Answer: A B C D plus minus What is 1 2 3?\n" * 40], 270)
    config = LlamaConfig(
        vocab_size=270, block_size=1024, n_layer=1, n_head=2, n_embd=32, n_hidden=32
    )
    save_pretrained(Llama(config), tokenizer, tmp_path / "model")
    data = write_mmlu(tmp_path / "data", n_test=3)
    for path in data.glob("mmlu/test/*.csv"):  # of several lengths: with padding
        lines = path.read_text().splitlines()
        path.write_text("\n".join(x.replace("What", "What " * i) for i, x in enumerate(lines, 1)))
    for split in ("train", "test"):
        rows = [{"question": f"What is {i} plus {i}?", "answer": f"#### {2 * i}"} for i in range(5)]
        path = data / f"gsm8k-{split}.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [tmp_path / "model", "--data", data, "--limit", 3, "--problems", 3, "--tokens", 6,
            "--batch-size", 2, "--rounds", 1, "--json", tmp_path / "figures.json"]  # fmt: skip


def check_evals(path, tmp_path):
    """The figures, after seeing that all entrants gave the same answers."""
    found = json.loads(path.read_text())
    for work, one in found["works"].items():
        for name, entrant in one["entrants"].items():
            assert 0 < entrant["rate"]["min"] <= entrant["rate"]["median"]
            if name not in ("ours", "ours, int8"):
                assert entrant["same"] == one["items"], (work, name)
                assert entrant.get("apart", 0) < 1e-4
    return found


@pytest.mark.skipif(find_spec("transformers") is None, reason="transformers is not installed")
def test_eval(small_evals, tmp_path):
    out, _ = run("eval", *small_evals, "--work", "mmlu,gsm8k")
    found = check_evals(tmp_path / "figures.json", tmp_path)
    assert {work: list(one["entrants"]) for work, one in found["works"].items()} == {
        "mmlu 0": ["ours", "transformers", "transformers, shared"],
        "mmlu 5": ["ours", "transformers", "transformers, shared"],
        "gsm8k": ["ours", "ours, int8", "transformers", "transformers, shared"],
    }
    assert [one["items"] for one in found["works"].values()] == [6, 6, 3]
    assert re.search(rf"^transformers, shared +{NUMBER} .* 6 +\de-0\d$", out, re.M), out


def test_eval_without_its_peers(small_evals, tmp_path):
    variables = without(tmp_path, "torch", "transformers")
    out, _ = run("eval", *small_evals, "--shots", 0, **variables)
    found = json.loads((tmp_path / "figures.json").read_text())
    assert "  transformers: skipped, No module named 'torch'" in out
    assert list(found["works"]["mmlu 0"]["entrants"]) == ["ours"]


def test_eval_in_lm_eval(small_evals, tmp_path):
    pytest.importorskip("lm_eval.evaluator", reason="lm-eval lacks a package", exc_type=ImportError)
    run("eval", *small_evals, "--shots", 0, "--work", "lm-eval")
    found = check_evals(tmp_path / "figures.json", tmp_path)
    assert list(found["works"]["lm-eval 0"]["entrants"]) == ["ours", "hf"]
    assert found["works"]["lm-eval 0"]["items"] == 6


def test_eval_refuses_work_that_it_does_not_know(small_evals):
    _, err = run("eval", *small_evals, "--work", "arc", code=2)
    assert "--work arc: choose among mmlu, gsm8k, lm-eval" in err
