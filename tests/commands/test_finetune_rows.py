"""``finetune sft`` and ``finetune dpo``: what they read, say, write and refuse."""

import json

import pytest
from caches import new_cache
from finetune_rows import DPO, SFT, SMALL, completions, preferences
from small_models import small_model, small_tokenizer

from tinygrad_llm import cli
from tinygrad_llm.commands.finetune_samples import read_samples
from tinygrad_llm.pretrained import load_pretrained, save_pretrained
from tinygrad_llm.pretrained.classifier import load_classifier
from tinygrad_llm.training.checkpoint import resolve
from tinygrad_llm.training.metrics import read_metrics


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model and data, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", new_cache(tmp_path))
    save_pretrained(small_model("llama"), small_tokenizer(), tmp_path / "model")
    (tmp_path / "sft.json").write_text(json.dumps(completions()))
    (tmp_path / "dpo.jsonl").write_text("".join(json.dumps(r) + "\n" for r in preferences()))
    return tmp_path


def test_sft_reports_learns_and_writes_a_run(place, capsys):
    assert cli.main([*SFT, "--steps", "3", "--lr", "1e-3"]) == 0
    out = capsys.readouterr().out
    for text in (
        "sft.json: 12 of 12 rows are used",
        "validation  1 example:",
        "before      held out: loss ",
        "answers after step 0 (",
        "answers after step 2 (",
        "after step 3",
        "held out, 1 row, ",
        "loss.png",
        "tinygrad-llm generate",
    ):
        assert text in out, out
    run = place / "runs" / "sft"
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 3] and lines[-1]["final"]
    assert lines[1]["eval_loss"] < 10 and lines[0]["entropy"] > 0
    samples = read_samples(run)
    assert [line["step"] for line in samples] == [0, 2, 3]
    for line in samples:
        assert line["prompt"].startswith("say ") and line["expected"].startswith("the ")
    assert (run / "loss.png").stat().st_size > 5000
    assert load_pretrained(run)[0].num_parameters() == small_model("llama").num_parameters()


def test_packed_rows_take_fewer_steps(place, capsys):
    assert cli.main([*SFT, "--packing", "--epochs", "1", "--no-completion-only-loss"]) == 0
    assert ", packed into " in capsys.readouterr().out
    run = place / "runs" / "sft"
    options = json.loads((run / "run.json").read_text())["options"]
    assert options["packing"] and options["steps"] < 4


def test_dpo_starts_at_ln_2_and_takes_the_reference_from_the_cache(place, capsys):
    argv = [*DPO, "--steps", "2", "--lora-r", "2", "--lr", "1e-3"]
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    assert "the reference reads the answers, once ...\n" in out
    assert "log-probabilities of 24 answers computed and cached" in out
    assert "before      held out: loss 0.6931, no preference yet: the model is its ref" in out
    assert "held out: loss 0.6" in out.split("step 2/2")[1] and "chosen preferred" in out
    assert "step 1/2  loss 0.6931" in out
    run = place / "runs" / "dpo"
    first, second, *_ = read_metrics(run / "metrics.jsonl")
    assert first["rewards/margins"] == pytest.approx(0, abs=1e-5)
    assert second["eval_rewards/margins"] != 0 and "logits/chosen" in first
    assert (run / "rewards.png").stat().st_size > 5000
    assert (resolve(run) / "adapter_config.json").is_file()

    assert cli.main([*argv, "--beta", "0.3"]) == 0
    out = capsys.readouterr().out
    assert "log-probabilities of 24 answers from the cache" in out
    assert "the reference reads" not in out

    # in bf16 the reference is another one
    assert cli.main([*argv, "--precision", "bf16"]) == 0
    out = capsys.readouterr().out
    assert "log-probabilities of 24 answers computed and cached" in out
    assert "before      held out: loss 0.6931, no preference yet" in out


def test_a_reward_model_scores_the_chosen_answers_higher(place, capsys):
    argv = ["finetune", "reward", "model", "--data", "dpo.jsonl", *SMALL[:-2]]
    assert cli.main([*argv, "--steps", "12", "--lr", "3e-3"]) == 0
    assert "before      held out: loss " in capsys.readouterr().out
    run = place / "runs" / "reward"
    *lines, final = read_metrics(run / "metrics.jsonl")
    assert final["eval_accuracy"] == 1 and final["eval_margin"] > 0
    assert {"min_reward", "mean_reward", "max_reward", "accuracy", "margin"} <= set(lines[0])
    model, _ = load_classifier(run)
    assert model.labels == ("reward",) and model.score.weight.shape[0] == 1
    capsys.readouterr()
    assert cli.main(["classify", "runs/reward", "sft.json"]) == 2
    assert "as a reward model does: it has no classes" in capsys.readouterr().err


@pytest.mark.parametrize("loss_type", ["sigmoid_norm", "orpo", "kto", "ipo"])
def test_every_loss_type_runs(place, capsys, loss_type):
    assert cli.main([*DPO, "--steps", "1", "--loss-type", loss_type, "--samples", "0"]) == 0
    (line, final) = read_metrics(place / "runs" / "dpo" / "metrics.jsonl")
    own = {"orpo": "log_odds_ratio", "kto": "kl"}.get(loss_type, "rewards/margins")
    assert own in line and final["final"]
    assert not (place / "runs" / "dpo" / "samples.jsonl").exists()
    assert ("reference   " in capsys.readouterr().out) == (loss_type != "orpo")


def judged(labels):
    rows = [{**row, "label": label} for row, label in zip(completions(), labels, strict=False)]
    return "".join(json.dumps(row) + "\n" for row in rows)


def test_kto_learns_from_single_answers(place, capsys):
    (place / "kto.jsonl").write_text(judged([True, False, True] * 4))
    argv = [*DPO[:4], "kto.jsonl", *DPO[5:], "--loss-type", "kto", "--grad-accumulation", "2"]
    assert cli.main([*argv, "--validation-share", "0.5", "--steps", "3", "--lr", "1e-2"]) == 0
    out = capsys.readouterr().out
    assert "training    6 answers, " in out and "desirable: " in out
    assert "log-probabilities of 24 answers" in out  # each with a mismatched one
    lines = read_metrics(place / "runs" / "dpo" / "metrics.jsonl")
    assert lines[0]["loss"] == pytest.approx(0.5, abs=1e-5)  # at first nothing is preferred
    assert lines[-1]["eval_loss"] != lines[1]["eval_loss"]
    assert {"eval_kl", "eval_rewards/chosen", "eval_rewards/rejected"} <= set(lines[-1])
    assert (place / "runs" / "dpo" / "rewards.png").stat().st_size > 5000


def test_a_pair_is_two_answers_for_kto(place, capsys):
    assert cli.main([*DPO, "--loss-type", "kto", "--steps", "1", "--samples", "0"]) == 0
    out = capsys.readouterr().out
    assert "training    22 answers, 11 of them desirable: " in out
    assert "validation  2 answers, 1 of them desirable: " in out


def test_a_label_that_is_neither(place, capsys):
    (place / "kto.jsonl").write_text(judged([True, "maybe"] * 6))
    assert cli.main([*DPO[:4], "kto.jsonl", *DPO[5:], "--loss-type", "kto"]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: line 2 of ") and err.count("\n") == 1
    assert 'label is "maybe", expected true or false (--skip-faulty drops such rows; ' in err


@pytest.mark.parametrize(
    "argv, sentence",
    [
        ([*DPO, "--beta", "0"], "beta is 0.0, but must be above 0"),
        ([*DPO, "--loss-type", "ipo", "--label-smoothing", "0.1"], "works with the loss types"),
        ([*DPO, "--loss-type", "kto", "--reference-free"], "kto compares with the reference"),
        ([*DPO, "--desirable-weight", "2"], "desirable_weight is 2.0, but works with kto, not sig"),
        ([*SFT, "--log-every", "0"], "log_every"),
        (["finetune", "reward", *DPO[2:5], "--weights", "int8", "--lora-r", "2"], "in float32"),
        (["finetune", "reward", *DPO[2:5], "--train-layers", "1", "--lora-r", "2"], "adapts every"),
        ([*SFT, "--template", "chat"], "chat template"),
        ([*SFT[:4], "dpo.jsonl"], "expected one of: messages; prompt and completion"),
        ([*SFT[:4], "dpo.jsonl"], "text (--skip-faulty drops such rows)"),
        ([*SFT, "--validation-share", "0.99"], "too few rows (12) to train on some"),
        ([*SFT, "--use-dora"], "error: use_dora is True, but does nothing without --lora-r"),
        ([*SFT, "--lora-alpha", "8"], "lora_alpha is 8.0, but does nothing without --lora-r"),
        ([*SFT[:2], *SFT[3:]], "error: MODEL is missing: "),
    ],
)
def test_bad_input_is_one_sentence(place, capsys, argv, sentence):
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1, err


def test_a_faulty_row_says_what_would_be_left_without_such_rows(place, capsys):
    rows = preferences(6)
    for row in rows[2:4]:
        row["rejected"] = row["chosen"]
    (place / "dpo.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert cli.main([*DPO, "--steps", "1"]) == 2
    end = "equal: nothing is preferred (--skip-faulty drops such rows; then 4 of 6 rows are used)\n"
    err = capsys.readouterr().err
    assert err.startswith("error: line 3 of ") and err.endswith(end)
    assert cli.main([*DPO, "--steps", "1", "--samples", "0", "--skip-faulty"]) == 0
    out = capsys.readouterr().out
    assert "4 of 6 rows are used\n            2 dropped: equal answers (first: line 3 of " in out


def test_held_out_rows_that_are_trained_on_are_counted(place, capsys):
    rows = [json.dumps(row) for row in completions(4)]
    (place / "held_out.jsonl").write_text("\n".join([*rows, json.dumps({"text": "new"})]))
    short = ["--steps", "1", "--samples", "0"]
    assert cli.main([*SFT, *short, "--validation-data", "held_out.jsonl"]) == 0
    assert "note: 4 of the 5 held-out rows are trained on, too" in capsys.readouterr().out
    assert cli.main([*SFT, *short]) == 0
    assert "trained on, too" not in capsys.readouterr().out
