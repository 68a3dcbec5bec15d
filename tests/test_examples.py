"""The examples run, and show what they claim.

They assert their own claims, so an exit code of 0 is already much. One line of
each is also checked, so that an example that prints nothing, or stops early, fails too.
"""

import os
import re
from importlib import import_module
from pathlib import Path

import pytest
from reader import run

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("[0-9]*.py"))
# What each example must print, as a regular expression.
SAYS = {
    "01_scalar_backprop.py": r"All three agree: hand and engine to rounding",
    "02_order_and_accumulation.py": r"toy, \+=, depth first +\+5\.91616741   WRONG",
    "03_tensors_and_broadcasting.py": r"12    15    18    21    = dL/db",
    "04_gradient_check.py": r"order 2: gradient check failed: 2 of 6 checks",
    "05_attention_step_by_step.py": r"scores +\(1, 2, 8, 8\)",
    "06_gpt_on_one_page.py": r"That of the lines held out was lowest after \d\d steps, 2\.\d\d",
    "07_equivalence_lab.py": r"masked: mean of the means .* NOT THE SAME",
    "08_bug_zoo.py": r"targets-not-shifted +better +worse +caught",
    "09_gradients_explained.py": r"gradient of wte, .*: the sum of 2 contributions",
    "10_profiler_and_graph.py": r"The profiler counted \d{7}\.",
    "11_faster_stage_by_stage.py": r"All 9 stages agree to \de-\d\d of the loss",
    "12_weight_file_by_hand.py": r"w = \(d s\) q - \(m t\) = .* = -1\.2872",
    "13_pretrained_model.py": r"6 positions x 384 ids.*\n.*they agree to \de-0[678] of the largest",
    "14_kv_cache.py": r"positions computed: 8,808 without, 207 with",
    "15_sampling.py": r"top-k 5 +5 +\d\d\.\d%",
    "16_speculative_decoding.py": r"40 tokens in \d\d? passes of the model, the same as",
    "17_sft_masks.py": r"one too late +0\.00\d\d +0\.0000 +(?!Lima).*\n.*the end .* Lima is",
    "18_lora.py": r"s B A, r = 4 +\|█.* +\| +4\n",
    "19_where_dpo_pushes.py": r"11,520 numbers, of which the two differ by at most \de-1[67]",
    "20_grpo.py": r"steps 111 to 120 +0\.9\d +#+\n(.*\n)*   (9|10) of 10 are right",
    "21_classifier.py": r"output layer +256 +\d+\.\d +(100\.0|9\d\.\d)%",
    "22_perplexity_three_ways.py": r"exp of the mean of 9 batches' means +\d\.\d+ +\+[1-9]\d%",
    "23_gsm8k_extraction.py": r"'It is 36/2' +none - +36/2 \+ +none - +2 -\n",
    "24_pass_at_k.py": r"0\.10   0\.6513 .* 0\.5678  -0\.0836",
    "25_space_before_the_letter.py": r"' A' +100% +0\.9\d+\n   'A' +\d+% +0\.00\d+",
    "26_eval_of_a_tiny_model.py": r"oracle +100\.0% +98\.1% to 100\.0%(.*\n)+ +610 .* (79|8[01])%",
    "27_tokenizer_taken_apart.py": r"9   ·se \+ lls +2 +24   s\|he ·sells ·sea(.*\n)*7\. What goes",
    "28_bigrams_to_attention.py": r"learned table +9,216 +2\.\d+(.*\n)+.*second head +33,856 +\d\.",
    "29_depth.py": r"stream, norm after +1 +1 +1 +1 .* 0\.9\d\n",
    "30_sgd_to_muon.py": r"Muon +1\.[0-4]\d +1\.1 x weights",
    "31_one_tile_by_hand.py": r"once tdpbf16ps +0\.\d\d x 2\^-24 +0\.46 / 256",
}


@pytest.fixture(scope="module")
def output_of():
    """The output of an example, run once."""
    known = {}

    def output(name):
        if name not in known:
            known[name] = run(str(ROOT / "examples" / name))
        return known[name]

    return output


def test_every_example_is_known():
    assert [p.name for p in EXAMPLES] == list(SAYS)


@pytest.mark.parametrize("name", SAYS)
def test_example_runs_and_shows_what_it_says(name, output_of):
    output = output_of(name)
    assert re.search(SAYS[name], output), output
    assert max(map(len, output.splitlines())) <= 100, "a line is too long for a page"


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda p: p.name)
def test_example_says_what_to_read_next(path):
    docstring = path.read_text().split('"""')[1]
    assert "What it teaches." in docstring
    named = re.findall(r"(?:Before|Next): (\d\d_\w+\.py)", docstring)
    neighbours = [p.name for p in EXAMPLES if abs(int(p.name[:2]) - int(path.name[:2])) == 1]
    assert named == neighbours


def test_the_page_is_learned(output_of):
    output = output_of("06_gpt_on_one_page.py")
    rows = re.findall(r"^ +\d+  (\d\.\d\d)  (\d\.\d\d)  .*t", output, re.M)
    page, held_out = ([float(row[i]) for row in rows] for i in (0, 1))
    assert len(rows) > 5 and page[0] > 3.5 and page[-1] < page[0] / 10
    assert held_out[0] > 3.5 and min(held_out) < held_out[0] - 0.5 < held_out[-1] - 2
    shares = [int(x) for x in re.findall(r"of its pieces of 8 letters, (\d+)%", output)]
    assert len(shares) == 2 and shares[0] < 20 and shares[1] > 80


def part_6_of_the_tokenizer(monkeypatch, capsys, folder):
    """What example 27 prints about GPT-2's vocabulary, whose files are in ``folder``, in a line."""
    monkeypatch.syspath_prepend(ROOT / "examples")
    example = import_module("27_tokenizer_taken_apart")
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(folder))
    example.part_6_gpt2(example.trained(example.SIZE))
    return " ".join(capsys.readouterr().out.split())


def test_gpt2s_vocabulary_is_left_out_with_the_reason(tmp_path, monkeypatch, capsys):
    """It is not downloaded, and one of its two files is not enough."""
    (tmp_path / "6d1cbeee0f20b3d9449abfede4726ed8212e3aee").write_text("merges")
    said = part_6_of_the_tokenizer(monkeypatch, capsys, tmp_path)
    assert f"Left out: its encoder.json is not in {tmp_path}, where tiktoken" in said


@pytest.mark.skipif(
    "TINYGRAD_LLM_TEST_DATA" not in os.environ, reason="TINYGRAD_LLM_TEST_DATA is not set"
)
def test_gpt2s_vocabulary_reads_the_same_text(monkeypatch, capsys):
    folder = Path(os.environ["TINYGRAD_LLM_TEST_DATA"]) / "tiktoken_cache"
    said = part_6_of_the_tokenizer(monkeypatch, capsys, folder)
    assert "GPT-2 The|·statement|·is|·unbelievably|·simple|." in said
