"""Perplexity three ways: one is right, and the other two are means of the wrong thing.

What it teaches. Perplexity is exp of the mean of -log p over all tokens of all texts: the model is
as uncertain as a fair choice among that many tokens. Sum first, divide once. A loop that averages
the losses of batches, or the perplexities of documents, computes something else, which can be off
by more than two models differ.

Part 1 computes it three ways on documents of very different lengths, and takes the differences
apart. Part 2 cuts a long document into windows, side by side and overlapping. Part 3 compares two
models with different tokenizers: the one with the lower perplexity is the worse one.

    python examples/22_perplexity_three_ways.py

Before: 21_classifier.py. Next: 23_gsm8k_extraction.py. The page to read is
tinygrad_llm/evals/perplexity.py.

Exercises, answered in solutions/22_perplexity_three_ways.py. Try first.

1. When all three agree. Make up losses of documents for which the first two ways give the same, and
   losses for which all three do.
2. Models that know nothing. What is the perplexity of a uniform model over V tokens, and how many
   bits per byte does it need? Compare three vocabularies.
3. One token that could not be. Of 100 tokens, 99 have p = 1/4 and one has p = 1e-30. What is the
   perplexity, with it and without?
"""

from _places import BLOCK, document, make_tokenizer, np, training, training_texts, untrained_model

from autograd import no_grad
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.perplexity import Perplexity
from tinygrad_llm.evals.runner import metrics_of, run_items
from tinygrad_llm.evals.task import Document, Item

SENTENCES = [1] * 24 + [4] * 8 + [20] * 3 + [150]  # of the held-out documents
BATCH = 4


def token_nats(model, ids, window=BLOCK + 1, stride=BLOCK):
    """-log p of each token after the first, (T - 1,). Each is scored once, after those before it in
    its window; windows of ``window`` tokens, the last of which is only predicted, move by
    ``stride``."""
    found, scored, end = np.empty(len(ids) - 1), 1, min(window, len(ids))
    while scored < end:
        begin = max(0, end - window)
        with no_grad():
            z = model(ids[None, begin : end - 1]).numpy()[0].astype(np.float64)  # (t, V)
        z -= z.max(axis=-1, keepdims=True)
        logp = z - np.log(np.exp(z).sum(axis=-1, keepdims=True))
        nats = -logp[np.arange(len(z)), ids[begin + 1 : end]]
        found[scored - 1 : end - 1] = nats[scored - 1 - begin :]
        scored, end = end, min(end + stride, len(ids))
    return found


def encoded(tokenizer, text):
    """Ids after the token that begins a text, so that the first word is scored, too."""
    return np.array([tokenizer.eot_id, *tokenizer.encode(text)])


def trained(tokenizer, texts, steps):
    model = untrained_model(tokenizer)
    for _ in training(model, tokenizer, texts, steps):
        pass
    return model.eval()


def by_the_library(model, tokenizer, texts):
    task = Perplexity(prefix=True)
    documents = [Document(text, number=i) for i, text in enumerate(texts)]
    items = [Item(document, task.requests(document, ())) for document in documents]
    samples = run_items(task, LanguageModel(model, tokenizer), items)
    return task.total([metrics_of(sample) for sample in samples])


def part_1_three_ways(model, tokenizer, texts):
    print("1. The same losses, averaged in three ways\n")
    documents = [token_nats(model, encoded(tokenizer, text)) for text in texts]
    sums, sizes = (np.array([f(nats) for nats in documents]) for f in (np.sum, np.size))
    print(
        f"   {'documents':>12s}{'tokens in each':>18s}{'of all tokens':>16s}{'nats per token':>18s}"
    )
    for n in sorted(set(SENTENCES)):
        of = [i for i, count in enumerate(SENTENCES) if count == n]
        share, mean = sizes[of].sum() / sizes.sum(), sums[of].sum() / sizes[of].sum()
        print(f"   {len(of):12d}{sizes[of].mean():18.0f}{share:16.0%}{mean:18.3f}")

    right = np.exp(sums.sum() / sizes.sum())
    order = np.argsort(sizes, kind="stable").reshape(-1, BATCH)  # similar lengths, to save padding
    batches = [sums[batch].sum() / sizes[batch].sum() for batch in order]  # what a loop prints
    of_batches = np.exp(np.mean(batches))
    of_documents = np.mean(np.exp(sums / sizes))
    ways = {
        "exp of the mean over tokens": right,
        f"exp of the mean of {len(batches)} batches' means": of_batches,
        f"mean of {len(texts)} documents' perplexities": of_documents,
    }
    print(f"\n   {'':42s}{'perplexity':>12s}{'off by':>10s}")
    for name, value in ways.items():
        print(f"   {name:42s}{value:12.3f}{value / right - 1:+10.0%}")
    library = by_the_library(model, tokenizer, texts)["token_perplexity"]
    assert abs(library / right - 1) < 1e-5
    assert of_documents > of_batches > 1.1 * right

    weights = np.exp(np.mean(sums / sizes))
    assert right < weights < of_documents
    print(f"""
   The first is what the library says, too: {library:.3f}.
   Batches: each counts the same, so a token of a short document weighs more than one of a long
   document. Here it is also harder to predict, as there is little to go by. With batches of equal
   size there would be no difference.
   Documents: the same, which alone would give {weights:.3f}, and Jensen's inequality: exp is
   convex, so the mean of exp is more than exp of the mean. That holds for equal lengths, too.
""")


def part_2_windows(model, tokenizer, text, window=16):
    print("2. A document that is longer than what the model reads at a time\n")
    ids, side = encoded(tokenizer, text), window - 1
    print(
        f"   {len(ids) - 1:,} tokens to score, in windows of {window}, of which {side} are read\n"
    )
    print(f"   {'move by':>10s}{'tokens read':>14s}{'perplexity':>13s}")
    found = {}
    for stride in (side, 8, 4):
        nats = found[stride] = token_nats(model, ids, window, stride)
        windows = 1 + -(-(len(ids) - window) // stride)
        print(f"   {stride:10d}{windows * side:14,d}{np.exp(nats.mean()):13.3f}")
        assert len(nats) == len(ids) - 1
    print(f"\n   nats per token by its place in a window that moves by {side}\n")
    by_place = [found[side][place::side].mean() for place in range(side)]
    for place, mean in enumerate(by_place, 1):
        print(f"   {place:10d}  {mean:6.3f}  {'#' * round(20 * mean)}")
    assert np.exp(found[4].mean()) < 0.97 * np.exp(found[side].mean())
    assert np.mean(by_place[:2]) > 1.2 * np.mean(by_place[8:])
    print("""
   All three score the same tokens, each once. The first tokens of a window have next to nothing
   before them; where windows overlap, they come with context that an earlier one has scored. That
   takes longer, and is closer to what the model can do. A perplexity needs its window and stride.
""")


def part_3_bits_per_byte(models, held_out):
    print("3. Two models, which divide the same text into different tokens\n")
    print(f"   {'tokenizer':17s}{'vocabulary':>12s}{'tokens':>9s}{'perplexity':>13s}", end="")
    print(f"{'bits per byte':>16s}")
    found, n_bytes = [], sum(len(text.encode()) for text in held_out)
    for name, (model, tokenizer) in models.items():
        nats = np.concatenate([token_nats(model, encoded(tokenizer, text)) for text in held_out])
        perplexity, bits = np.exp(nats.mean()), nats.sum() / np.log(2) / n_bytes
        print(f"   {name:17s}{tokenizer.vocab_size:12d}{len(nats):9,d}{perplexity:13.3f}", end="")
        print(f"{bits:16.3f}")
        found.append((perplexity, bits))
        library = by_the_library(model, tokenizer, held_out)["bits_per_byte"]
        assert abs(library / bits - 1) < 1e-5
        assert abs(np.log2(perplexity) * len(nats) / n_bytes / bits - 1) < 1e-12
    (perplexity, bits), (other, more) = found
    assert other < perplexity and more > 1.2 * bits
    print(f"""
   The second has the lower perplexity, and is the worse model: it needs
   {more / bits:.1f} times as many bits. Its tokens are shorter: each is easier to predict, and
   there are more of them:

       bits per byte  =  log2(perplexity) x tokens / bytes

   A text has the same bytes for every tokenizer, so this figure may be compared.""")


def main():
    print("Two small models are trained here within seconds, on documents about six places.\n")
    texts, rng = training_texts(), np.random.default_rng(2)
    held_out = [document(n, rng) for n in SENTENCES]
    models = {}
    for name, vocab_size in (("whole words", 512), ("pieces of words", 280)):
        tokenizer = make_tokenizer(texts, vocab_size)
        models[name] = trained(tokenizer, texts, steps=60), tokenizer
    model, tokenizer = models["whole words"]
    part_1_three_ways(model, tokenizer, held_out)
    part_2_windows(model, tokenizer, held_out[-1])
    part_3_bits_per_byte(models, held_out)


if __name__ == "__main__":
    main()
