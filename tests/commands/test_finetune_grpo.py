"""``finetune grpo``: what it reads, says, writes and refuses."""

import json

import pytest
from small_models import small_model, small_tokenizer

from autograd import use_kernels
from tinygrad_llm import cli
from tinygrad_llm.commands.finetune_samples import read_samples
from tinygrad_llm.pretrained import save_pretrained
from tinygrad_llm.training.checkpoint import read_index, resolve
from tinygrad_llm.training.metrics import read_metrics

WORDS = "the cat sat on a mat and the dog ran to its log".split()
REWARDS = """
calls = 0

def letters(completions, prompts, answer, **columns):
    return [one.count("a") - one.count("t") for one in completions]

def breaks(completions, **columns):
    global calls
    calls += 1
    return letters(completions, **columns) if calls < 4 else letters(completions[1:], **columns)

def raises(completions, **columns):
    raise KeyError("gold")
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with a model, data and reward functions, which is the current one."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TINYGRAD_LLM_CACHE", str(tmp_path / "cache"))
    save_pretrained(small_model("llama"), small_tokenizer(), tmp_path / "model")
    rows = [{"question": f"say {WORDS[i % 9]}", "answer": f"#### {i}"} for i in range(12)]
    rows[7]["question"] += " the cat" * 20
    (tmp_path / "data.json").write_text(json.dumps(rows))
    (tmp_path / "rewards.py").write_text(REWARDS)
    with use_kernels("reference"):  # the compiled step takes long to make for so little
        yield tmp_path


GRPO = """
finetune grpo model --data data.json --prompt-column question --template plain --max-length 40
--max-completion-length 6 --num-generations 4 --batch-size 4 --grad-accumulation 2 --eval-every 2
--sample-tokens 4 --validation-share 0.2
""".split()


def test_it_reports_learns_and_writes_a_run(place, capsys):
    argv = [*GRPO, "--reward", "rewards.py:letters", "--reward", "length:5"]
    argv += ["--reward-weights", "1", "0.5", "--lora-r", "2", "--beta", "0.1", "--steps", "3"]
    assert cli.main(argv) == 0
    out = capsys.readouterr().out
    for text in (
        "11 of 12 rows are used",
        "1 dropped: a prompt of more than 34 tokens (first: line 1 of",
        "training    9 prompts of ",
        "rewards     letters, length",
        "reference   the model without the adapter",
        "before      held out: reward ",
        "training for 3 steps of 8 answers",
        " groups without spread; gradient ",
        "held out, 2 prompts: reward ",
        "rewards.png",
    ):
        assert text in out, out
    run = place / "runs" / "grpo"
    lines = read_metrics(run / "metrics.jsonl")
    assert [line["step"] for line in lines] == [1, 2, 3, 3] and lines[-1]["final"]
    line = lines[1]
    parts = line["rewards/letters/mean"] + 0.5 * line["rewards/length/mean"]
    assert line["reward"] == pytest.approx(parts) and line["eval_loss"] == -line["eval_reward"]
    samples = read_samples(run)
    assert samples[0]["step"] == 0 and samples[-1]["step"] == 3
    assert samples[0]["prompt"].startswith("say ") and samples[0]["expected"].startswith("#### ")
    assert (run / "loss.png").stat().st_size > 5000
    assert (run / "rewards.png").stat().st_size > 5000
    assert (resolve(run) / "adapter_config.json").is_file()
    assert (
        str(place / "rewards.py")
        in json.loads((run / "run.json").read_text())["options"]["reward"][0]
    )


def test_a_fault_in_a_later_step_keeps_the_last_checkpoint(place, capsys):
    """Calls 1 and 4 of the function are evaluations: the fault is after the second step."""
    argv = [*GRPO, "--reward", "rewards.py:breaks", "--steps", "4", "--save-every", "1"]
    assert cli.main(argv) == 2
    err = capsys.readouterr().err
    assert "rewards.py, line 7: the reward function breaks returned 1 rewards for 2 answers" in err
    run = place / "runs" / "grpo"
    assert read_index(run)["last"] == "step-000001"
    (place / "rewards.py").write_text(REWARDS.replace("completions[1:]", "completions"))
    assert cli.main(["train", "--resume", "runs/grpo"]) == 2
    assert "--reward has changed since" in capsys.readouterr().err


def test_without_an_adapter_the_reference_is_a_copy(place, capsys):
    argv = [*GRPO, "--reward", "format:a", "--beta", "0.1", "--steps", "1", "--samples", "0"]
    assert cli.main(argv) == 0
    assert "reference   a copy of the model before the first step, 0 MB" in capsys.readouterr().out
    assert not (place / "runs" / "grpo" / "samples.jsonl").exists()


@pytest.mark.parametrize(
    "argv, sentence",
    [
        ([], "--reward is missing: gsm8k_strict, gsm8k_flexible, format:REGEX"),
        (["--reward", "best"], "the reward 'best' is not known"),
        (["--reward", "nowhere.py:x"], "the reward file nowhere.py does not exist"),
        (["--reward", "rewards.py:x"], "rewards.py has no function x"),
        (["--reward", "rewards.py:raises"], "line 13: the reward function raises raised KeyError"),
        (["--reward", "length:5", "--reward-weights", "1", "2"], "2 reward weights for 1 rewards"),
        (["--reward", "length:5", "--batch-size", "3"], "from 6 answers (batch_size x"),
        (["--reward", "length:5", "--num-generations", "1"], "num_generations"),
        (["--reward", "length:5", "--temperature", "0"], "the answers to a prompt must differ"),
        (["--reward", "length:5", "--epsilon", "-1"], "epsilon is -1.0, but must be at least 0"),
        (["--reward", "length:5", "--max-completion-length", "40"], "no room is left for a prompt"),
        (["--reward", "length:5", "--max-completion-length", "39"], "no row is left: 12 dropped"),
        (["--reward", "length:5", "--system-prompt", "x"], "a system prompt is for conversations"),
        (["--reward", "length:5", "--prompt-column", "text"], "has no column 'text'"),
        (["--reward", "length:5", "--top-p", "2"], "top_p is 2.0, but must be above 0"),
    ],
)
def test_bad_input_is_one_sentence(place, capsys, argv, sentence):
    assert cli.main([*GRPO, "--steps", "1", *argv]) == 2
    err = capsys.readouterr().err
    assert sentence in err and err.count("\n") == 1, err
    if "raises" not in sentence:
        assert not (place / "runs").exists()
