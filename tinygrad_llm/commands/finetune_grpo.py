"""``tinygrad-llm finetune grpo MODEL --data FILE --reward REWARD``: what it puts into a session.

    file -> prompts -> split -> reward functions, the reference -> task

The model answers held-out prompts before and after: a few for the samples, more for their reward.
"""

import copy
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tinygrad_llm.commands.console import PlainConsole
from tinygrad_llm.commands.finetune_answers import answering
from tinygrad_llm.commands.finetune_parts import Base, Parts, Picture
from tinygrad_llm.commands.finetune_row_options import GRPOOptions
from tinygrad_llm.commands.finetune_rows import longest_row, read_split
from tinygrad_llm.commands.finetune_samples import prompt_of_ids
from tinygrad_llm.errors import UserError
from tinygrad_llm.finetune.curves import Panel, draw_curves
from tinygrad_llm.finetune.examples import Prompt, load_prompts
from tinygrad_llm.finetune.grpo import GRPO, GRPO_SCHEMA
from tinygrad_llm.finetune.rewards import Rewards, load_reward
from tinygrad_llm.finetune.rollouts import Writing
from tinygrad_llm.generation import Sampler
from tinygrad_llm.model.freezing import freeze
from tinygrad_llm.tokenizer.endings import ending_ids
from tinygrad_llm.training import runs
from tinygrad_llm.training.metrics import read_metrics


def prepare(console: PlainConsole, options: GRPOOptions, base: Base) -> Parts:
    """Read the prompts, load the reward functions, make the task, and choose the samples."""
    rewards = Rewards([load_reward(spec) for spec in options.reward], options.reward_weights)
    train, held_out = _read(console, options, base)
    console.say(f"rewards     {', '.join(rewards.names)}")
    writing = _writing(options, base)
    task = GRPO(
        base.model, train, held_out, rewards, writing, seed=options.seed,
        reference=_reference(console, options, base), num_generations=options.num_generations,
        beta=options.beta, epsilon=options.epsilon, epsilon_high=options.epsilon_high,
        loss_type=options.loss_type, scale_rewards=options.scale_rewards,
        num_iterations=options.num_iterations, steps_per_generation=options.steps_per_generation,
        mask_truncated_completions=options.mask_truncated_completions,
        eval_prompts=options.eval_prompts, batch_size=options.batch_size,
        grad_accumulation=options.grad_accumulation, log_every=options.log_every,
    )  # fmt: skip
    prompts = [
        prompt_of_ids(one.ids, base.tokenizer, str(one.row.get("answer") or ""))
        for one in held_out[: options.samples]
    ]
    n_rows = len(train) * options.num_generations * options.num_iterations
    parts = answering(console, options, base, task, prompts, n_rows, "answers")
    return replace(parts, state_schema=GRPO_SCHEMA, best="highest reward")


def _read(
    console: PlainConsole, options: GRPOOptions, base: Base
) -> tuple[list[Prompt], list[Prompt]]:
    """The prompts to train on, and those held out; a prompt leaves room for the longest answer."""
    room = longest_row(options, base) - options.max_completion_length
    if room < 1:
        raise UserError(
            f"max_completion_length is {options.max_completion_length}, but prompt and answer "
            f"together have at most {longest_row(options, base)} tokens (--max-length, and the "
            "model's block_size): no room is left for a prompt"
        )

    def load(path: Any, tokenizer: Any, max_length: int, **more: Any) -> Any:
        return load_prompts(path, tokenizer, room, **more)

    columns = None if options.prompt_column == "prompt" else {"prompt": options.prompt_column}
    parts = read_split(console, options, base, load, columns=columns, system=options.system_prompt)
    for name, prompts in zip(("training", "validation"), parts, strict=True):
        lengths = [len(prompt.ids) for prompt in prompts]
        console.say(
            f"{name:<11} {len(prompts):,} prompts of {min(lengths)} to {max(lengths)} tokens"
        )
    return parts


def _writing(options: GRPOOptions, base: Base) -> Writing:
    tokenizer, names = base.tokenizer, ("temperature", "top_k", "top_p", "min_p")
    special = set(tokenizer.special_tokens.values())
    sampling = {name: getattr(options, name) for name in names}
    Sampler(**sampling)  # which checks them, before a run is made
    return Writing(
        lambda ids: tokenizer.decode([i for i in ids if i not in special]),
        ending_ids(tokenizer), options.max_completion_length,
        tokenizer.unused_ids(base.model.config.vocab_size),
        sampling,
    )  # fmt: skip


def _reference(console: PlainConsole, options: GRPOOptions, base: Base) -> Any:
    """A copy of the model as it is now, where one is needed; an adapter can be switched off."""
    if not options.beta:
        return None
    if options.lora_r is not None:
        console.say("reference   the model without the adapter")
        return None
    size = sum(p.nbytes for p in base.model.parameters()) / 1e6
    console.say(f"reference   a copy of the model before the first step, {size:,.0f} MB")
    reference = copy.deepcopy(base.model).eval()
    freeze(reference)
    return reference


# --- the pictures --------------------------------------------------------------------------------


def _draw_losses(run: Path) -> None:
    panels = [
        Panel("loss", {"training": "loss"}, level=0.0),
        Panel("length of the gradient", {"training": "grad_norm"}),
        Panel("entropy (nats)", {"training": "entropy"}),
        Panel("distance to the reference", {"kl": "kl"}),
    ]
    _draw(run, runs.PLOT_FILE, panels)


def _draw_rewards(run: Path) -> None:
    panels = [
        Panel(
            "reward", {"training": "reward", "held out, greedy": "eval_reward"},
            spread={"training": "reward_std"},
        ),
        Panel("groups without spread", {"share": "frac_reward_zero_std"}),
        Panel(
            "tokens of an answer",
            {
                "mean": "completions/mean_length", "shortest": "completions/min_length",
                "longest": "completions/max_length",
                "held out, greedy": "eval_completions/mean_length",
            },
        ),
        Panel("answers cut off", {"share": "completions/clipped_ratio"}),
    ]  # fmt: skip
    names = _function_names(run)
    if len(names) > 1:
        panels.insert(1, Panel("its parts", {n: f"rewards/{n}/mean" for n in names}))
    _draw(run, "rewards.png", panels)


def _function_names(run: Path) -> list[str]:
    keys = {key for line in read_metrics(run / runs.METRICS_FILE) for key in line}
    return sorted(key.split("/")[1] for key in keys if key.startswith("rewards/") and "mean" in key)


def _draw(run: Path, name: str, panels: Sequence[Panel]) -> None:
    metrics = read_metrics(run / runs.METRICS_FILE)
    known = {key for line in metrics for key in line}
    drawn = [panel for panel in panels if known & set(panel.curves.values())]
    draw_curves(metrics, drawn, run / name, "GRPO")


PICTURES: dict[str, Picture] = {runs.PLOT_FILE: _draw_losses, "rewards.png": _draw_rewards}
