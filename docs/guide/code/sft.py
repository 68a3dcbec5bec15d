"""Supervised fine-tuning: from a model that continues texts to one that answers."""

import random

import numpy as np

from generate import generate
from stories import story
from train import AdamW, clip, learning_rate

def alpaca(instruction, context=""):
    """The prompt of Alpaca's data, up to where the response begins."""
    text = "Below is an instruction that describes a task. Write a response that "
    text += f"appropriately completes the request.\n\n### Instruction:\n{instruction}"
    text += f"\n\n### Input:\n{context}" if context else ""
    return text + "\n\n### Response:\n"

def example(tokenizer, prompt, response):
    """ids (T,) to read and labels (T,): the next id in the response, -100 before it."""
    question = tokenizer.encode(prompt)
    ids = np.array([*question, *tokenizer.encode(response), tokenizer.end])
    labels = np.where(np.arange(len(ids)) < len(question), -100, ids)
    return ids[:-1], labels[1:]

def pad(examples, end):
    """Rows of one length: ids filled up with `end`, labels with -100."""
    T = max(len(ids) for ids, _ in examples)
    x, y = np.full((len(examples), T), end), np.full((len(examples), T), -100)
    for row, (ids, labels) in enumerate(examples):
        x[row, : len(ids)], y[row, : len(ids)] = ids, labels
    return x, y

def story_rows(n, seed):
    """n prompts about new stories, each with its answer in full and in short."""
    rng, rows = random.Random(seed), []
    while len(rows) < n:
        text, questions = story(rng)
        rows += [(f"{text}\nQ: {q}\nA:", full, short) for q, short, full, _ in questions]
    return rows[:n]

def fine_tune(model, tokenizer, rows, steps, batch_size=8, peak=2e-3, report=None):
    """Learn the responses of (prompt, response); gives the losses."""
    examples = [example(tokenizer, *row) for row in rows]
    optimizer, rng, losses = AdamW(model.parameters), np.random.default_rng(0), []
    for step in range(steps):
        batch = [examples[i] for i in rng.integers(0, len(examples), batch_size)]
        loss = model.loss(*pad(batch, tokenizer.end))
        loss.backward()
        optimizer.step(learning_rate(step, steps, peak), clip(model.parameters))
        losses.append(float(loss.data))
        if report and step % 50 == 0:
            report(f"step {step:4}  loss {losses[-1]:.3f}")
    return losses

def answer(model, tokenizer, prompt):
    """The likeliest response."""
    ids, rng = tokenizer.encode(prompt), np.random.default_rng()  # temperature 0: unused
    return tokenizer.decode(generate(model, ids, 12, rng, 0, end=tokenizer.end))

if __name__ == "__main__":
    from pretrained import load, save

    model, tokenizer = load("story.safetensors")
    rows = [(p, answers[i % 2]) for i, (p, *answers) in enumerate(story_rows(3000, 5))]
    fine_tune(model, tokenizer, rows, 250, report=print)
    save("answers.safetensors", model, tokenizer)
    for prompt, *_ in story_rows(6, seed=6):
        print(f"{prompt}{answer(model, tokenizer, prompt)}\n")
