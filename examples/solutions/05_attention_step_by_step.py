"""Solutions to the exercises of 05_attention_step_by_step.py."""

import numpy as np
from _solutions import answer, example_of

from autograd import Tensor, grad, ops

lab = example_of(__file__)
RNG = np.random.default_rng(0)


def softmax(scores):
    e = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def exercise_1():
    """A bias that cannot learn.

    With a bias b on the keys, query t scores key s with q_t (k_s + b) = q_t k_s + q_t b. The second
    term is the same for every key, and softmax does not see what is added to all. So no loss
    depends on b, and its gradient is 0: not small, but the rounding of 0. A bias on the queries
    adds b k_s, which differs from key to key, and one on the values is simply added to the output.
    GPT-2 has all three, and many later models, such as Llama, have none.
    """
    x = Tensor(RNG.standard_normal((1, lab.T, lab.C)))
    w = Tensor(RNG.standard_normal((3 * lab.C, lab.C)))
    bias = Tensor(RNG.standard_normal(3 * lab.C), requires_grad=True)
    y = ops.causal_attention(ops.linear(x, w, bias), lab.H)
    (g,) = grad(y, bias, RNG.standard_normal(y.shape))
    sizes = [float(np.abs(part).max()) for part in np.split(g.data, 3)]
    for name, size in zip(("queries", "keys", "values"), sizes, strict=True):
        print(f"   largest gradient of the bias on the {name:<8s} {size:.1e}")
    queries, keys, values = sizes
    assert keys < 1e-12 < 1e-3 < min(queries, values)


def exercise_2():
    """Attention does not know the order.

    Without a mask and without positions, the weights depend only on what the tokens are. Shuffle
    the sentence, and each token gets the same output as before, only in its new place: attention
    sees a bag of words. With positions among the channels the outputs change. With the causal mask
    they change too: token t sees only what stands before it, so even without positions a causal
    model knows something about the order.
    """
    order = RNG.permutation(lab.T)
    words = lab.embed(lab.SENTENCE)[0, :, : lab.D]  # which word each is, and not where
    mixing = RNG.standard_normal((2 * lab.D, 2 * lab.D))  # as the queries' and keys' weights would

    def attend(words, places, mask):
        x = np.concatenate([words, places], axis=1)  # (T, 2 D)
        return softmax(x @ mixing @ x.T + mask) @ words

    nowhere, places = np.zeros((lab.T, lab.T)), np.eye(lab.T)
    causal = np.triu(np.full((lab.T, lab.T), -np.inf), 1)
    for name, options in {
        "words alone": (nowhere, 0.0),
        "with positions": (places, 0.0),
        "with the causal mask": (nowhere, causal),
    }.items():
        before, after = attend(words, *options), attend(words[order], *options)
        difference = np.abs(before[order] - after).max()
        print(f"   {name:<22s} outputs differ by {difference:.3f} after shuffling")
        assert (difference < 1e-12) == (name == "words alone")


def exercise_3():
    """An induction head.

    The first layer has done its part: head 1 writes into each position the word before it. The
    second layer asks with the current word, and its keys are those words before: query t finds the
    positions that *follow* an earlier occurrence of its word. The value there is the word itself,
    which is what came next last time. So the last "cat" looks at "saw", and the model continues
    "the cat" as it was continued before, with no weight that knows of cats. The last "the" finds
    two continuations, "cat" and "dog", and shares its weight between them. (Not equally: with more
    words to choose from, layer 1 is a little less certain of the word before "dog".)
    """
    x, w = Tensor(lab.embed(lab.SENTENCE)), Tensor(lab.weights_by_hand())
    words = x.data[0, :, : lab.D]  # (T, D)
    before = lab.attention(x, w)[0].data[0, :, lab.D :]  # head 1 of layer 1: the word before
    before[0] = 0  # there is none
    mask = np.triu(np.full((lab.T, lab.T), -np.inf), 1)
    p = softmax(lab.SHARP * words @ before.T + mask)  # (T, T), layer 2
    scores = p @ words
    for t in (7, 6):
        found = {word: scores[t, i] for i, word in enumerate(lab.WORDS) if scores[t, i] > 0.1}
        shown = ", ".join(f"{word} {share:.2f}" for word, share in found.items())
        print(f"   after ... {' '.join(lab.SENTENCE[t - 1 : t + 1]):<8s} comes {shown}")
        assert list(found) == (["saw"] if t == 7 else ["cat", "dog"])


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
