"""Causal self-attention, one line at a time: every shape, every weight, and one gradient by hand.

What it teaches. Attention is the only place in a transformer where tokens see each other. It is a
handful of array operations. Each is easy, but together they confuse, because the axes keep moving:

    B  sequences      T  tokens in each      C  channels of a token
    H  heads          D  = C / H channels that a head owns

The weights here are not trained but written by hand, so that they show what each head does:
head 0 looks for *the same word*, head 1 for *the word before*. Trained transformers have heads of
both kinds, and one of each in successive layers make the "induction head", which continues a
pattern that it has seen once (Olsson et al. 2022, "In-context learning and induction heads").

Read the parts in order: 1 the steps and their shapes; 2 the fused operation, which must agree in
value and gradient; 3 what a head looks at, as a heat map; 4 causality, forward and backward;
5 the gradient of the scores by hand; 6 what 1/sqrt(D) is for.

Before: 04_gradient_check.py. Next: 06_gpt_on_one_page.py. The derivation and the fast kernel are
in autograd/kernels/attention/.

Exercises, answered in solutions/05_attention_step_by_step.py. Try first.

1. A bias that cannot learn. Give the packed projection a bias, for queries, keys and values. One of
   the three has the gradient 0. Which one, and why?
2. Attention does not know the order. Leave out mask and positions, and shuffle the sentence. What
   happens to the outputs? And with positions, or with the mask?
3. An induction head. Head 1 writes the word before into each position. Build a second layer, of one
   head, that continues "the cat saw the dog and the cat" as "the cat" was continued before.
"""

import math
import textwrap

import numpy as np

from autograd import Tensor, grad, ops

SENTENCE = "the cat saw the dog and the cat".split()
WORDS = sorted(set(SENTENCE))
T, H, D = len(SENTENCE), 2, 8
C = H * D
SHARP = 10.0  # how strongly a query asks: larger makes a head more certain


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


def embed(sentence):
    """Token and position, each one-hot: (1, T, C). Channels 0-7 say which word, 8-15 where."""
    x = np.zeros((1, len(sentence), C))
    for t, word in enumerate(sentence):
        x[0, t, WORDS.index(word)] = 1
        x[0, t, D + t] = 1
    return x


def weights_by_hand():
    """The packed projection (3C, C): the queries, keys and values of each head."""
    word, place = np.eye(C)[:D], np.eye(C)[D:]  # (D, C): read the word, read the position
    before = np.zeros((D, C))
    before[:-1] = place[1:]  # position t asks for the key of position t - 1
    queries = [SHARP * word, SHARP * before]
    keys = [word, place]
    values = [word, word]  # both heads pass on the word that they look at
    return np.concatenate([*queries, *keys, *values])  # (3 C, C)


def attention(x, w, show=lambda name, array, meaning: None):
    """Causal attention in small operations; ``show`` is called with each result.

    Returns the output (B, T, C), and the scores and weights, (B, H, T, T) each.
    """
    B, T, C = x.shape
    qkv = ops.linear(x, w)
    show("x", x, "tokens")
    show("qkv", qkv, "queries, keys and values of all heads, side by side")
    heads = qkv.reshape(B, T, 3, H, C // H)
    show("  reshaped", heads, "the last axis split into three parts, H heads, D channels")
    heads = heads.transpose(2, 0, 3, 1, 4)
    show("  transposed", heads, "heads next to the batch axis: each computes alone")
    q, k, v = heads[0], heads[1], heads[2]
    show("q, k, v", q, "(B, H, T, D) each")
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(C // H)
    show("scores", scores, "(T, D) (D, T): query t times key s, over sqrt(D)")
    visible = np.tril(np.ones((T, T), bool))
    masked = ops.where(visible, scores, -np.inf)
    show("masked", masked, "-inf where key s is later than query t")
    p = ops.softmax(masked)
    show("p", p, "softmax over the keys: each row sums to 1")
    y = p @ v
    show("p v", y, "(T, T) (T, D): values averaged with these weights")
    y = y.transpose(0, 2, 1, 3).reshape(B, T, C)
    show("y", y, "heads side by side again")
    return y, scores, p


def part_1_the_steps(x, w):
    print("1. The steps and their shapes   B = 1, T = 8, C = 16, H = 2, D = 8\n")

    def show(name, array, meaning):
        print(f"    {name:<13s} {array.shape!s:<17s} {meaning}")

    y, _, p = attention(x, w, show)
    assert y.shape == (1, T, C) and p.shape == (1, H, T, T)
    assert np.allclose(p.data.sum(axis=-1), 1, rtol=1e-14)
    assert np.array_equal(np.triu(p.data[0, 0], k=1), np.zeros((T, T)))
    print()
    return y, p


def part_2_the_fused_operation(x, w, y):
    print("2. The same in one operation: ops.causal_attention(qkv, n_head)")
    fused = ops.causal_attention(ops.linear(x, w), H)
    g = np.random.default_rng(0).standard_normal(y.shape)
    (gw_small, gx_small) = grad(y, [w, x], g, retain_graph=True)
    (gw_fused, gx_fused) = grad(fused, [w, x], g)
    differences = [
        ("output", fused.data, y.data),
        ("gradient of the weights", gw_fused.data, gw_small.data),
        ("gradient of the tokens", gx_fused.data, gx_small.data),
    ]
    for name, a, b in differences:
        error = np.abs(a - b).max() / np.abs(b).max()
        print(f"    {name:<26s} largest relative difference {error:.0e}")
        assert error < 1e-13
    say("""
        The fused operation's backward is derived on paper; that of the small operations comes
        from the engine, step by step. In forward the small operations make four arrays (H, T, T),
        one at a time: product, scaled, masked and p. The fused one computes p in a single array.

    """)


def heat_map(p):
    """One row per query, one column per key; darker is more, and the future is empty."""
    shades = ".:-=+*#%@"
    print("                " + " ".join(f"{word:>3s}" for word in SENTENCE))
    for t, row in enumerate(p):
        cells = [3 * shades[min(8, int(9 * weight))] for weight in row[: t + 1]]
        print(f"    {t} {SENTENCE[t]:>8s}  " + " ".join(cells))


def part_3_what_a_head_looks_at(y, p):
    say("""
        3. What a head looks at: one row per query, one column per key, darker is more

        head 0, the same word
    """)
    heat_map(p.data[0, 0])
    print("\nhead 1, the word before")
    heat_map(p.data[0, 1])
    words = [WORDS[int(np.argmax(y.data[0, t, D:]))] for t in range(T)]
    say(f"""

        Head 1's channels of y, read back as words:
            the text  {" ".join(f"{word:>5s}" for word in SENTENCE)}
            head 1    {" ".join(f"{word:>5s}" for word in words)}
        (No word comes before position 0, which can look only at itself.)

    """)
    assert words[1:] == SENTENCE[:-1]
    last = p.data[0, 0, -1]  # the second "cat": both cats, shared equally
    assert set(np.argsort(last)[-2:]) == {1, 7} and math.isclose(last[1], last[7])


def numbers(values, form):
    """The values in one line, each formatted as ``form`` says."""
    return " ".join(format(v, form) for v in values)


def part_4_causality(w, y):
    other = list(SENTENCE)
    other[5] = "saw"
    changed = attention(Tensor(embed(other)), w)[0]
    change = np.abs(changed.data - y.data).max(axis=-1)[0]
    assert (change[:5] == 0).all() and (change[5:] > 0).all()

    x = Tensor(embed(SENTENCE), requires_grad=True)
    (g,) = grad(attention(x, w)[0][0, 4].sum(), x)
    size = np.abs(g.data[0]).max(axis=-1)
    assert (size[5:] == 0).all() and (size[:5] > 0).all()
    say(f"""
        4. Causality: a later token has no influence
            token 5 '{SENTENCE[5]}' becomes '{other[5]}'. How much each output changes:
            t       {numbers(range(T), "7d")}
            change  {numbers(change, "7.4f")}
        And backward: the gradient of output 4 with respect to each token:
            |g|     {numbers(size, "7.4f")}
        The zeros are exact, forward and backward: exp(-inf) is 0, and 0 times any number is 0.

    """)


def part_5_the_gradient_of_a_score(w, x):
    _, scores, p = attention(x, w)
    (g,) = grad(p[0, 0, 7, 1], scores)
    p_row, engine = p.data[0, 0, 7], g.data[0, 0, 7]
    # dL/dp is 1 at key 1 and 0 elsewhere; softmax gives dL/ds_j = p_j (dL/dp_j - sum_i p_i dL/dp_i)
    g_p = np.eye(T)[1]
    by_hand = p_row * (g_p - (g_p * p_row).sum())
    assert np.allclose(by_hand, engine, rtol=1e-13, atol=1e-16)
    assert abs(engine.sum()) < 1e-15 and engine[1] > 0 and (np.delete(engine, 1) < 0).all()
    say(f"""
        5. The gradient of the scores, by hand
        Let L be the weight that the last 'cat' gives to the first one in head 0: p[7, 1].
            key      {numbers(SENTENCE, ">8s")}
            p        {numbers(p_row, "8.4f")}
            by hand  {numbers(by_hand, "+8.4f")}
            engine   {numbers(engine, "+8.4f")}
            sum      {engine.sum():+.1e}
        Raising the score of key 1 raises its weight. Raising any other score lowers it, in
        proportion to the weight of that other key. The row sums to 0, because adding the same
        number to all scores changes nothing. (So a bias on the keys has gradient exactly 0.)

    """)


def part_6_why_the_square_root():
    say("""
        6. Why 1/sqrt(D)
        Queries and keys of D independent numbers of size 1 have products of size sqrt(D). The
        softmax of large numbers is close to a hard choice, and a hard choice has almost no
        gradient: p (1 - p) is 0 at both ends.

                mean largest weight of 16          mean |dp_max/ds|
           D    plain        / sqrt(D)       plain         / sqrt(D)
    """)
    rng = np.random.default_rng(1)
    gradients = []
    for d in (4, 64, 1024):
        q, k = rng.standard_normal((256, 1, d)), rng.standard_normal((256, 16, d))
        row = []
        for scale in (1.0, 1 / math.sqrt(d)):
            s = Tensor((q * k).sum(axis=-1) * scale, requires_grad=True)  # (256, 16)
            p = ops.softmax(s)
            top = p.data.max(axis=-1)
            (g,) = grad(p.max(axis=-1).sum(), s)
            row.append((top.mean(), np.abs(g.data).mean()))
        (top_plain, g_plain), (top_scaled, g_scaled) = row
        gradients.append((g_plain, g_scaled))
        print(
            f"{d:4d}    {top_plain:.3f}          {top_scaled:.3f}        {g_plain:.6f}"
            f"        {g_scaled:.6f}"
        )
    plain, scaled = zip(*gradients, strict=True)
    assert plain[2] < plain[1] < plain[0] and plain[2] < 0.2 * scaled[2]
    assert max(scaled) < 1.5 * min(scaled)
    say("""

        Scaled, both hardly depend on D, so the width of a head can be chosen freely.
    """)


def main():
    x = Tensor(embed(SENTENCE), requires_grad=True)
    w = Tensor(weights_by_hand(), requires_grad=True)
    y, p = part_1_the_steps(x, w)
    part_2_the_fused_operation(x, w, y)
    part_3_what_a_head_looks_at(y, p)
    part_4_causality(w, y)
    part_5_the_gradient_of_a_score(w, x)
    part_6_why_the_square_root()


if __name__ == "__main__":
    main()
