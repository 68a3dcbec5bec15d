"""A language model becomes a classifier: a new output layer, on the last token.

What it teaches. A language model scores the V next tokens from the hidden state of the last one. A
classifier scores K classes from it: the last token is the only one that has seen the whole text. So
the output layer is replaced by one of K rows, and trained with the blocks below it, or some of
them. The others, which can read already, are frozen.

Part 1 reads labelled texts and splits them. Part 2 looks at the new layer: what padding does to it
(nothing), and its gradient, p - y. Part 3 trains more or fewer blocks, from a body that has learned
to predict texts and from one that has not. Part 4 shows the scores of one of them: accuracy, F1,
the confusion matrix, and what goes wrong.

    python examples/21_classifier.py            # a small data set, made here
    python examples/21_classifier.py FILE       # a table with columns SMS and Label, such as
                                                # SMSSpamCollection.tsv; its first 1,500 texts

Before: 20_grpo.py. Next: 22_perplexity_three_ways.py. The page to read is
tinygrad_llm/model/classifier.py; docs/classification.md says more.

Exercises, answered in solutions/21_classifier.py. Try first.

1. The last column is not the last token. Classify a short text, batched with a longer one, by the
   last column of the batch. What does the result depend on?
2. 95 % right and worth nothing. Of 100 texts 5 are spam. What are accuracy and F1 of a classifier
   that always says ham? And of one that finds 4 of them, with 6 false alarms?
"""

import copy
import sys
import tempfile
import time
import warnings
from pathlib import Path

from _small_model import np
from rich.console import Console
from rich.text import Text

from autograd import ops
from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.finetune.classification import (
    Classification,
    Examples,
    evaluating,
    padded,
    probabilities,
)
from tinygrad_llm.finetune.collate import collate
from tinygrad_llm.finetune.examples import shifted
from tinygrad_llm.finetune.labelled import (
    class_numbers,
    encode,
    label_names,
    read_labelled,
    split,
)
from tinygrad_llm.finetune.scores import accuracy, f1_scores
from tinygrad_llm.model.classifier import Classifier
from tinygrad_llm.model.freezing import trainable_parameters, training_cost
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.terminal import one_line
from tinygrad_llm.tokenizer import train_bpe
from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm

N_LAYER, MAX_LENGTH, MAX_TEXTS = 2, 64, 1500
console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def make_texts(n, seed=0):
    """Pairs of (label, text) about a meal, and what is often said after each text.

    No single word tells praise from complaint: "not bad" is praise. And questions, which are rare,
    have the words of both.
    """
    rng = np.random.default_rng(seed)
    things = "soup bread rice fish cake salad tea coffee pie curry stew pasta".split()
    good, bad = "good fresh warm tasty lovely".split(), "bad stale cold bland awful".split()
    before = ["", "", "honestly , ", "well , ", "last week ", "on sunday "]
    after = ["", "", " this time", " for me", " as always", " i think"]
    replies = {"praise": "more please !", "complaint": "never again !", "question": "it was ."}
    pairs, corpus = [], []
    for _ in range(n):
        label = rng.choice(list(replies), p=[0.45, 0.4, 0.15])
        negated = rng.random() < 0.15
        is_good = rng.random() < 0.5 if label == "question" else (label == "praise") != negated
        quality = "not " * negated + rng.choice(good if is_good else bad)
        subject = f"the {rng.choice(things)}"
        text = f"was {subject} {quality}" if label == "question" else f"{subject} was {quality}"
        pairs.append((label, f"{rng.choice(before)}{text}{rng.choice(after)} ."))
        corpus.append(f"{pairs[-1][1]} {replies[label]}")
    return pairs, corpus


def part_1_the_texts(path):
    """(texts, class names, (train, validation, test) as row numbers, classes)."""
    print("1. The texts\n")
    found = read_labelled(path, "SMS", "Label")
    texts, labels = found.texts[:MAX_TEXTS], found.labels[:MAX_TEXTS]
    names = label_names(labels, path)
    classes = class_numbers(labels, found.places[:MAX_TEXTS], names)
    for i, name in enumerate(names):
        first = texts[np.flatnonzero(classes == i)[0]]
        print(f"   {one_line(name):<12s}{(classes == i).sum():6d} texts: {one_line(first)[:64]}")
    for reason, count in found.dropped.items():
        print(f"   dropped: {count}, {reason}")
    validation, test, train = parts = split(classes, (0.2, 0.3), seed=0)
    assert sum(map(len, parts)) == len(texts) == len(set(texts))
    share = np.bincount(classes[test]).max() / len(test)
    print(f"""
   {len(train)} to train, {len(validation)} for validation, {len(test)} for the test.
   Each part has the same share of every class, and no text is in two of them.
   Always the commonest class would be right in {share:.1%} of the test.
""")
    return texts, names, (train, validation, test), classes


def small_body(tokenizer):
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size, block_size=MAX_LENGTH, n_layer=N_LAYER, n_head=4,
        n_kv_head=2, n_embd=64, n_hidden=128,
    )  # fmt: skip
    return Llama(config, seed=0)


def pretrain(body, tokenizer, texts, steps=200):
    """Next tokens of texts, without labels."""
    rows = [encode(tokenizer, text, MAX_LENGTH - 1)[0] for text in texts]
    rows = [shifted(np.append(ids, tokenizer.eot_id), np.ones(len(ids) + 1, bool)) for ids in rows]
    rng, optimizer = np.random.default_rng(0), AdamW(body.named_parameters(), lr=4e-3)
    for _ in range(steps):
        batch = collate([rows[i] for i in rng.integers(0, len(rows), size=32)])
        body.loss(batch.ids, batch.labels).backward()
        optimizer.step(grad_scale=clip_scale(global_norm(body.parameters()), 1.0))
        optimizer.zero_grad()
    return body


# --- part 2 ---------------------------------------------------------------------------------------


def part_2_the_head(body, names, test):
    print("2. The new output layer\n")
    model = Classifier(copy.deepcopy(body), names)
    V, (K, C) = body.config.vocab_size, model.score.weight.shape
    print(f"   of the language model ({V}, {C}), of the classifier ({K}, {C})")

    order = np.argsort([len(ids) for ids in test.ids], kind="stable")
    rows = [test.ids[order[0]], test.ids[order[-1]]]  # the shortest text, and the longest
    ids, lengths = padded(rows)
    with evaluating(model):
        alone = np.concatenate([model(row[None], [len(row)]).numpy() for row in rows])
        together = model(ids, lengths).numpy()
    error = np.abs(alone - together).max() / np.abs(alone).max()
    assert error < 1e-5
    print(f"""
   Texts of {lengths[0]} and {lengths[1]} tokens, alone and in a batch: logits agree to {error:.0e}.
   Padding stands to the right of the last token, which cannot see it.
""")

    labels = test.classes[order[[0, -1]]]
    logits = model(ids, lengths)
    logits.retain_grad()
    ops.cross_entropy(logits, labels).backward()
    p = np.exp(logits.numpy()) / np.exp(logits.numpy()).sum(axis=-1, keepdims=True)
    by_hand = (p - np.eye(K)[labels]) / len(rows)
    engine = logits.grad.numpy()
    assert np.allclose(by_hand, engine, atol=1e-6)
    print(f"   the gradient of the logits of the first: its label is {names[labels[0]]!r}")
    print(f"      (p - y) / 2   {' '.join(f'{g:+.4f}' for g in by_hand[0])}")
    print(f"      engine        {' '.join(f'{g:+.4f}' for g in engine[0])}\n")


# --- part 3 ---------------------------------------------------------------------------------------


def train(body, names, parts, train_layers, epochs=8):
    """The task, whose model is a classifier with this many last blocks trained; None is all."""
    model = Classifier(copy.deepcopy(body), names)
    model.freeze(train_layers)
    task = Classification(model, *parts, batch_size=16, seed=0)
    task.keep_frozen_parts()  # what the frozen blocks make of each text, once
    optimizer = AdamW(trainable_parameters(model), lr=2e-3)
    for _ in range(epochs * len(parts[0]) // 16):
        (batch,) = task.next_step().batches
        loss, _ = task.loss(batch.content)
        loss.backward()
        optimizer.step(grad_scale=clip_scale(global_norm(model.parameters()), 1.0))
        optimizer.zero_grad()
    return task


def part_3_freezing(bodies, names, parts):
    print("3. What is trained\n")
    print(
        f"   {'the body':<18s}{'trained':<32s}{'parameters':>11s}{'seconds':>9s}{'accuracy':>10s}"
    )
    found = {}
    trained = {0: "last norm and output layer", 1: "these and the last block", None: "everything"}
    for kind, body in bodies.items():
        for layers, what in trained.items():
            begin = time.perf_counter()
            task = found[kind, layers] = train(body, names, parts, layers)
            seconds, right = (
                time.perf_counter() - begin,
                accuracy(task.evaluate(parts[1]).confusion),
            )
            count = training_cost(task.model).trained
            print(f"   {kind:<18s}{what:<30s}{count:11,d}{seconds:9.1f}{right:10.1%}")
            before = dict(body.named_parameters())
            for name, parameter in task.model.body.named_parameters():
                moved = not np.array_equal(parameter.data, before[name].data)
                assert moved == parameter.requires_grad  # what is frozen has not changed
    print("""
   (Accuracy on the validation texts.) The first body has learned to predict texts, without labels.
   To know what comes next, it had to find out what a text says: its last hidden state tells the
   classes apart, and a layer of a few hundred numbers reads that off. The second body, with random
   weights, has to learn everything from the labels.
""")
    return found


# --- part 4 ---------------------------------------------------------------------------------------


def scores_by_hand(matrix):
    """(accuracy, F1 of each class) of counts (K, K): labels in rows, predictions in columns."""
    right = np.diag(matrix)
    precision = right / np.maximum(1, matrix.sum(axis=0))
    recall = right / matrix.sum(axis=1)
    f1 = 2 * precision * recall / np.maximum(precision + recall, 1e-12)
    return right.sum() / matrix.sum(), f1


def part_4_the_scores(found, names, texts, rows):
    print("4. On the test: a row for each label, a column for each prediction")
    result = {}
    for (kind, layers), task in found.items():
        if layers != 0:
            continue
        p = probabilities(task.model, task.test.ids)
        predicted, labels = p.argmax(axis=-1), task.test.classes
        matrix = task.evaluate(task.test).confusion
        right, f1 = result[kind] = scores_by_hand(matrix)
        assert right == accuracy(matrix) and np.allclose(f1, f1_scores(matrix))
        assert right == (predicted == labels).mean()
        print(f"\n   the body {kind}, norm and output layer trained")
        print(
            f"   {'':<12s}" + "".join(f"{one_line(name)[:10]:>11s}" for name in names) + "       F1"
        )
        for i, name in enumerate(names):
            line = Text(f"   {one_line(name)[:10]:<12s}")
            for j, count in enumerate(matrix[i]):
                style = "dim" if not count else "green" if i == j else "red"
                line.append(f"{count:11d}", style)
            console.print(line.append(f"   {f1[i]:6.3f}"))
        print(f"   accuracy {right:.1%}, mean F1 {f1.mean():.3f}")
        for i in np.flatnonzero(predicted != labels)[:3]:
            text = one_line(texts[rows[i]])[:60]
            taken = f"{one_line(names[predicted[i]])} ({p[i].max():.0%})"
            console.print(Text(f"   taken for {taken}: {text}", "red"))
    return result


def main():
    with tempfile.TemporaryDirectory() as folder:
        path, unlabelled = Path(folder) / "texts.tsv", None
        if len(sys.argv) > 1:
            path = Path(sys.argv[1])
        else:
            lines = [f"{label}\t{text}\n" for label, text in make_texts(320)[0]]
            path.write_text("Label\tSMS\n" + "".join(lines))
            unlabelled = make_texts(3000, seed=1)[1]
        texts, names, rows, classes = part_1_the_texts(path)
    unlabelled = unlabelled or [texts[i] for i in rows[0]]
    with warnings.catch_warnings(action="ignore"):  # a vocabulary of all words may be smaller
        tokenizer = train_bpe(unlabelled, vocab_size=512)
    ids = [encode(tokenizer, text, MAX_LENGTH)[0] for text in texts]
    parts = [Examples([ids[i] for i in part], classes[part]) for part in rows]
    blank = small_body(tokenizer)
    body = pretrain(copy.deepcopy(blank), tokenizer, unlabelled)
    part_2_the_head(body, names, parts[2])
    bodies = {"predicts texts": body, "knows nothing": blank}
    found = part_3_freezing(bodies, names, parts)
    result = part_4_the_scores(found, names, texts, rows[2])
    if len(sys.argv) == 1:
        (right, f1), (guessed, other) = result.values()
        assert right > 0.9 > 0.8 > guessed and f1.mean() > other.mean()


if __name__ == "__main__":
    main()
