"""A small GPT made faster stage by stage, with the same losses at every stage.

What it teaches. Every formula of a GPT can be written in NumPy, one line each, and that is slow,
not because of Python but because of memory. Each NumPy operation reads whole arrays and writes a
whole array, and an array that does not fit in the caches comes from memory every time and goes
back to it. Matrix products are near the speed of the processor from the start, so the stages are
about everything else. Each stage touches some array fewer times, or does not make it at all.

The stages are data: for each one, tinygrad_llm/machine/stages.py says what changes, why that is
faster and where the code is. Each runs in its own process, since two of them are settings of a
process. The example asserts that all of them compute the same. How fast they are depends on the
machine, and how much a stage gains depends on the size of the model: benchmarks/stages.py measures
larger models, with care, and docs/performance.md explains its figures.

Run it, then read the kernel of the stage that interests you next to its reference.py.

Before: 10_profiler_and_graph.py. Next: 12_weight_file_by_hand.py.

Exercises, answered in solutions/11_faster_stage_by_stage.py. Try first.

1. How far the bytes travel. Count the passes over memory, reads and writes, that NumPy makes for
   0.5 x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))). How many does one loop need?
2. Softmax without the row. Compute softmax(s) v for one query, while reading s and v in blocks and
   keeping nothing of a block. What has to be known of the blocks before?
"""

import json
import subprocess
import sys
import textwrap
import time

from tinygrad_llm.machine.stages import (  # without NumPy: see serve
    STAGES,
    set_up_process,
    stage_kernels,
)

B, T, L, H, C, V = 4, 256, 2, 4, 128, 1024
TURNS = 3  # of each stage
REST = 0.05  # seconds between turns: the previous process's threads may spin for a while


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


def serve(number):
    """The process of one stage: for each line of input, two training steps, printed as JSON.

    The first step brings the memory back into the caches, and the very first also compiles or
    loads the kernels, so only the second is timed. The last stage is a setting that takes effect
    only if it is made before NumPy is imported.
    """
    set_up_process(number)
    import numpy as np

    from tinygrad_llm.config import GPTConfig
    from tinygrad_llm.model.gpt import GPT
    from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm

    model = GPT(GPTConfig(V, T, L, H, C, dropout=0.1), seed=0)
    optimizer = AdamW(model.named_parameters(), lr=1e-3, weight_decay=0.1)
    tokens = np.random.default_rng(1).integers(0, V, (B, T + 1))

    with stage_kernels(number):
        for _ in sys.stdin:
            losses = []
            for _ in range(2):
                start = time.perf_counter()
                loss = model.loss(tokens[:, :-1], tokens[:, 1:])
                loss.backward()
                optimizer.step(grad_scale=clip_scale(global_norm(model.parameters()), 1.0))
                optimizer.zero_grad()
                seconds = time.perf_counter() - start
                losses.append(loss.item())
            print(json.dumps([losses, seconds]), flush=True)


def train_in_turns():
    """The losses of every stage, (stages, 2 TURNS), and the seconds of its fastest timed step.

    The processes take turns, so that a busy moment of the machine does not affect only one stage.
    """
    pipe = subprocess.PIPE
    processes = [
        subprocess.Popen([sys.executable, __file__, str(n)], stdin=pipe, stdout=pipe, text=True)
        for n in range(len(STAGES))
    ]
    answers = [[] for _ in STAGES]
    for _ in range(TURNS):
        for process, answer in zip(processes, answers, strict=True):
            time.sleep(REST)
            process.stdin.write("your turn\n")
            process.stdin.flush()
            answer.append(json.loads(process.stdout.readline()))
    for process in processes:
        process.communicate()  # the end of the input ends the process
    losses = [[loss for pair, _ in answer for loss in pair] for answer in answers]
    return losses, [min(seconds for _, seconds in answer) for answer in answers]


def part_1_what_is_large():
    print("1. What is large in a step, in MB of float32\n")
    for what, shape in (
        ("hidden states, (B, T, C)", (B, T, C)),
        ("input and output of GELU, (B, T, 4 C)", (B, T, 4 * C)),
        ("attention's scores and weights, (B, H, T, T)", (B, H, T, T)),
        ("logits, (B T, V)", (B * T, V)),
    ):
        size = 4
        for n in shape:
            size *= n
        print(f"   {what:<46s} {size / 1e6:5.1f}")
    say("""

        A core's own cache holds one or two MB. A pass over more than that waits for memory, or for
        the cache that all cores share.

    """)


def part_2_the_stages():
    print("2. The stages: each adds to those before it\n")
    losses, fastest = train_in_turns()
    print(f"   {'':<34s} ms a step   times as fast as the first")
    for stage, seconds in zip(STAGES, fastest, strict=True):
        print(f"   {stage.name:<34s} {1e3 * seconds:9.1f}   {fastest[0] / seconds:9.2f}")
    say(f"""

        (the fastest of {TURNS} steps each, in turns)

    """)
    return losses


def part_3_the_same_answer(losses):
    error = max(
        abs(actual - expected) / expected
        for stage_losses in losses
        for actual, expected in zip(stage_losses, losses[0], strict=True)
    )
    progress = (losses[0][0] - losses[0][-1]) / losses[0][0]
    assert error < 1e-5
    assert progress > 1e-3
    say(f"""
        3. Faster, and the same

        loss of each step, first stage: {"  ".join(f"{x:.6f}" for x in losses[0])}
        loss of each step, last stage:  {"  ".join(f"{x:.6f}" for x in losses[-1])}
        All {len(losses)} stages agree to {error:.0e} of the loss, the rounding of float32;
        the steps themselves have lowered it by {progress:.0e}.

    """)


def part_4_why():
    print("4. What changed, and why it is faster")
    for stage in STAGES:
        print()
        print(f"   {stage.name}")
        for text in (stage.changed, stage.why, f"[{stage.where}]"):
            print(textwrap.indent(textwrap.fill(text, 90), "      "))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        serve(int(sys.argv[1]))
    else:
        part_1_what_is_large()
        losses = part_2_the_stages()
        part_3_the_same_answer(losses)
        part_4_why()
