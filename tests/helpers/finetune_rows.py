"""Small files of rows, and commands that fine-tune a tiny model on them."""

WORDS = "the cat sat on a mat and the dog ran to its log".split()
SMALL = "--template plain --max-length 60 --batch-size 3 --eval-every 2 --sample-tokens 4".split()
SFT = ["finetune", "sft", "model", "--data", "sft.json", *SMALL]
DPO = ["finetune", "dpo", "model", "--data", "dpo.jsonl", *SMALL]


def completions(count=12):
    """For sft.json."""
    return [
        {"prompt": f"say {WORDS[i % 9]}", "completion": f"the {WORDS[i % 7]} {i}"}
        for i in range(count)
    ]


def preferences(count=12):
    """For dpo.jsonl."""
    return [
        {"prompt": f"say {WORDS[i % 9]}", "chosen": f"a {WORDS[i % 7]}", "rejected": f"no {i}"}
        for i in range(count)
    ]
