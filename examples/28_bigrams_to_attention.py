"""From counting pairs to attention in five steps, each measured on the same text.

What it teaches. A language model gives every possible next character a score. Here the characters
so far vote on it: the last one through a table of its own, and all of them together through a
second table, each vote with a weight. V is the number of different characters.

    scores at t  =  table[x_t]  +  sum over s <= t of  w(t, s) votes[x_s]       (V numbers)

Step 1 counts which character follows which. Step 2 finds the same table by gradient descent. The
other three differ in one thing, where the weights w come from:

    3 average     w = 1 / (t + 1): all that came before, in no order
    4 distance    w = softmax of a learned number for each distance t - s
    5 attention   w = softmax of that number + q(x_t) k(x_s) / sqrt(D): who asks, and who is there
                  and then a second head: another sum, with weights and votes of its own

Each step contains the one before it as a special case, which is shown, so training can only gain
from it. How much it gains is measured on paragraphs that no step has seen.

Attention in example 05 computes queries, keys and values as linear functions of vectors. So does a
transformer: its later layers get vectors that hold much more than one character. Here the vector
of a character is looked up, and a linear function of a table's row is the row of another table. So
queries, keys and votes (the values) are tables.

Before: 27_tokenizer_taken_apart.py. Next: 29_depth.py, on what many layers need. The operations of
attention one at a time, with all their shapes, are in 05_attention_step_by_step.py.

Exercises, answered in solutions/28_bigrams_to_attention.py. Try first.

1. One part at a time. Take the number for each distance out of step 5: which changes of a text
   does the model no longer notice? Then take the queries out of the second head's model: is most
   of what two heads gain due to the queries, or to the second table of votes?
2. Longer counts. Step 1 with the last two characters in place of one has V V rows. What is its
   loss? Go on to three, four and five characters: when does it become worse, and why?
3. Without the mask. Let step 4 look at all T characters of a window, the later ones too. What is
   its loss, and can the model write?
"""

import math

from _small_model import np
from _topics import TRAINING, VALIDATION, say

from autograd import Parameter, Tensor, grad, no_grad, ops
from tinygrad_llm.training.optim import AdamW

CHARACTERS = ["\n", *map(chr, range(32, 127))]  # the few others are left out
ID_OF = {c: i for i, c in enumerate(CHARACTERS)}

V, T, D = len(CHARACTERS), 32, 16  # characters, how far back they are seen, length of a query
B, STEPS, LR = 32, 400, 0.1

AGO = np.subtract.outer(np.arange(T), np.arange(T))  # (T, T): how far key s is behind query t
MASK = np.where(AGO >= 0, 0, -np.inf).astype(np.float32)
AVERAGE = np.tril(np.ones((T, T), np.float32)) / np.arange(1, T + 1, dtype=np.float32)[:, None]


def encode(text):
    return np.array([ID_OF[c] for c in text if c in ID_OF])


def windows(ids):
    """All windows of T characters side by side, (N, T), and what comes next at each place."""
    n = (len(ids) - 1) // T * T
    return ids[:n].reshape(-1, T), ids[1 : n + 1].reshape(-1, T)


IDS = encode(TRAINING)
HELD_OUT = windows(encode(VALIDATION))

# --- the models: what they are made of ------------------------------------------------------------


def normal(rng, *shape, std=0.02):
    return Parameter((std * rng.standard_normal(shape)).astype(np.float32))


def new_table(rng):
    return {"table": normal(rng, V, V)}


def new_average(rng):
    return new_table(rng) | {"votes 0": normal(rng, V, V)}


def new_distance(rng):
    return new_average(rng) | {"distance 0": normal(rng, T)}


def new_attention(rng, n_head=1):
    p = new_table(rng)
    for h in range(n_head):
        p |= {f"votes {h}": normal(rng, V, V), f"distance {h}": normal(rng, T)}
        p |= {f"query {h}": normal(rng, V, D), f"key {h}": normal(rng, V, D, std=1)}
    return p


def new_two_heads(rng):
    return new_attention(rng, n_head=2)


# --- the models: how they score, ids (B, T) -> (B, T, V) ------------------------------------------


def table(p, ids):
    return ops.embedding(p["table"], ids)


def average(p, ids):
    return table(p, ids) + AVERAGE @ ops.embedding(p["votes 0"], ids)


def distance_weights(p):
    return ops.softmax(p["distance 0"][np.maximum(AGO, 0)] + MASK)  # (T, T), the same for any text


def distance(p, ids):
    return table(p, ids) + distance_weights(p) @ ops.embedding(p["votes 0"], ids)


def attention_weights(p, ids, h):
    q, k = ops.embedding(p[f"query {h}"], ids), ops.embedding(p[f"key {h}"], ids)  # (B, T, D)
    match = q @ k.swapaxes(-1, -2) / math.sqrt(D)  # (B, T, T)
    return ops.softmax(match + p[f"distance {h}"][np.maximum(AGO, 0)] + MASK)


def heads_of(p):
    return sum(name.startswith("query") for name in p)


def attention(p, ids):
    scores = table(p, ids)
    for h in range(heads_of(p)):
        scores = scores + attention_weights(p, ids, h) @ ops.embedding(p[f"votes {h}"], ids)
    return scores


def only_the_average(p, ids):
    return AVERAGE @ table(p, ids)


# --- training and measuring -----------------------------------------------------------------------


def train(new, model, ids=IDS):
    """STEPS batches of B windows; the learning rate falls in a line to 0."""
    rng = np.random.default_rng(0)
    p = new(rng)
    optimizer = AdamW(p.items(), lr=LR, weight_decay=0)
    for step in range(STEPS):
        optimizer.lr = LR * (1 - step / STEPS)
        at = rng.integers(0, len(ids) - T, size=(B, 1)) + np.arange(T)
        ops.cross_entropy(model(p, ids[at]), ids[at + 1]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return p


@no_grad()
def loss(p, model, ids=HELD_OUT[0], targets=HELD_OUT[1]):
    """Nats per character, the mean over all windows."""
    parts = np.array_split(np.arange(len(ids)), 16)
    sums = [ops.cross_entropy(model(p, ids[i]), targets[i]).item() * len(i) for i in parts]
    return sum(sums) / len(ids)


@no_grad()
def write(p, model, n=140, seed=1):
    """``n`` characters after a line end, each drawn from what the model expects there."""
    rng, ids = np.random.default_rng(seed), T * [ID_OF["\n"]]
    for _ in range(n):
        z = model(p, np.array([ids[-T:]])).numpy()[0, -1].astype(np.float64)
        odds = np.exp(z - z.max())
        ids.append(int(rng.choice(V, p=odds / odds.sum())))
    return "".join(CHARACTERS[i] for i in ids[T:])


# --- the steps ------------------------------------------------------------------------------------


def show(letter, odds):
    top = np.argsort(-odds)[:6]
    cells = "  ".join(f"{CHARACTERS[i]!r:>4s} {odds[i]:3.0%}" for i in top)
    print(f"   after {letter!r}   {cells}")


def step_1_counts():
    print("1. Counts\n")
    counts = np.ones((V, V))  # each pair once before counting, so that none is impossible
    np.add.at(counts, (IDS[:-1], IDS[1:]), 1)
    odds = counts / counts.sum(axis=1, keepdims=True)
    for letter in "tq(":
        show(letter, odds[ID_OF[letter]])
    nats = -np.log(odds[HELD_OUT]).mean()
    print()
    say(f"""
        The loss is the mean of -log of what the model gave the character that came: {nats:.3f}
        nats, where all characters alike would cost log {V} = {math.log(V):.3f}.
    """)
    return counts, nats


def step_2_a_learned_table(counts, by_counts):
    print("2. The same table, learned\n")
    n, of_row = counts.sum(), counts.sum(axis=1, keepdims=True)

    def gradient(w):
        """Of the mean loss of all counted pairs, where row a of ``w`` scores what follows a."""
        w = Tensor(w, requires_grad=True)
        return grad(-(ops.log_softmax(w) * counts).sum() / n, w)[0].data

    w = np.random.default_rng(0).standard_normal((V, V))
    expected = np.exp(w) / np.exp(w).sum(axis=1, keepdims=True)
    assert np.allclose(gradient(w), of_row / n * (expected - counts / of_row), atol=1e-15)
    at_counts = np.abs(gradient(np.log(counts))).max()
    p = train(new_table, table)
    nats = loss(p, table)
    assert at_counts < 1e-15 and abs(nats - by_counts) < 0.03
    say(f"""
        The gradient for a table of scores has a plain meaning: how often a comes, times what the
        table expects after a minus what was counted. So it is 0 where the table expects what was
        counted: the minimum. Its largest element there: {at_counts:.0e}.

        Trained from random numbers for {STEPS} batches, the table gets {nats:.3f}; counted, it got
        {by_counts:.3f}. Nothing is gained yet. But a sum of tables can be trained like one, and
        cannot be counted.
    """)
    return p, nats


def step_3_an_average(p2):
    print("3. With the average of what came before\n")
    ids = HELD_OUT[0][:4]
    silent = p2 | {"votes 0": np.zeros((V, V), np.float32)}
    assert np.array_equal(average(silent, ids).data, table(p2, ids).data)
    alone = loss(train(new_table, only_the_average), only_the_average)
    p = train(new_average, average)
    nats = loss(p, average)
    say(f"""
        Averaged, the characters say what kind of text this is, and not which came last. On its own
        that is a poor guide: {alone:.3f}, far worse than one character. Added to the table it
        helps: {nats:.3f}. This is why a transformer *adds* what attention finds to what it had.
    """)
    return p, nats, alone


def step_4_by_distance(p3):
    print("4. Weighted by distance\n")
    ids = HELD_OUT[0][:4]
    equal = p3 | {"distance 0": Tensor(np.zeros(T, np.float32))}
    assert np.allclose(distance(equal, ids).data, average(p3, ids).data, atol=1e-4)
    p = train(new_distance, distance)
    nats = loss(p, distance)
    w = distance_weights(p).data[-1][::-1]  # of the last place: distance 0, 1, 2, ...
    for ago in range(5):
        print(f"   {ago} ago   {w[ago]:6.1%}  {'#' * round(40 * w[ago])}".rstrip())
    print(f"   others  {w[5:].sum():6.1%}")
    print()
    say(f"""
        The mask makes the scores of later characters -inf, so their weights are 0, and the softmax
        makes the others sum to 1. With the same number for all distances this is step 3. What it
        learns: the character before the last one says most, since the last has its own table. The
        loss: {nats:.3f}.
    """)
    assert w[1] == w.max() and w[5:].sum() < 0.2
    return p, nats


TEXT = "object.__getattribute__(self, na"


def step_5_attention(p4):
    print("5. Attention: the weights depend on the text\n")
    ids = HELD_OUT[0][:4]
    nothing = {"query 0": Tensor(np.zeros((V, D), np.float32)), "key 0": normal(np.random, V, D)}
    assert np.array_equal(attention(p4 | nothing, ids).data, distance(p4, ids).data)
    p = train(new_attention, attention)
    two = train(new_two_heads, attention)
    deaf = two | {"votes 1": Tensor(np.zeros((V, V), np.float32))}
    first = {name: x for name, x in two.items() if not name.endswith("1")}
    assert np.array_equal(attention(deaf, ids).data, attention(first, ids).data)

    print("   How far back lies the character with the largest weight?\n")
    print("   text        " + " ".join(TEXT))
    asked = encode(TEXT)[None]
    rows = {"step 4": distance_weights(p4).data, "one head": attention_weights(p, asked, 0).data[0]}
    rows |= {f"head {h + 1} of 2": attention_weights(two, asked, h).data[0] for h in range(2)}
    kinds = {}
    for name, w in rows.items():
        ago = np.arange(T) - w.argmax(axis=-1)
        print(f"   {name:<12s}" + "".join(f"{a:<2d}" if a < 10 else "+ " for a in ago).rstrip())
        kinds[name] = len(set(ago[1:].tolist()))
    assert kinds["step 4"] == 1 and min(kinds["one head"], kinds["head 2 of 2"]) > 1
    one_loss, two_loss = loss(p, attention), loss(two, attention)
    print()
    say(f"""
        0 is the character itself, + is ten or more. Step 4 has one answer for every text. With
        queries and keys, a character can look past those that tell it little: {one_loss:.3f}. But
        one head gives one answer at a time, as its weights sum to 1. A second can look elsewhere:
        {two_loss:.3f}.
    """)
    return (p, one_loss), (two, two_loss)


def main():
    sizes = f"{len(IDS):,} characters to train on, {HELD_OUT[0].size:,} held out"
    print(f"The text: Python's reference, {sizes}\n")
    counts, by_counts = step_1_counts()
    p2, loss_2 = step_2_a_learned_table(counts, by_counts)
    p3, loss_3, alone = step_3_an_average(p2)
    p4, loss_4 = step_4_by_distance(p3)
    (p5, loss_5), (p6, loss_6) = step_5_attention(p4)

    print("What each step buys\n")
    print("                                           nats per    bits per")
    print("                                numbers   character   character    gained")
    before = by_counts
    for name, p, nats in [
        ("1 counts", {"table": counts}, by_counts),
        ("2 a learned table", p2, loss_2),
        ("3 + the average", p3, loss_3),
        ("4 + weights by distance", p4, loss_4),
        ("5 + queries and keys", p5, loss_5),
        ("  + a second head", p6, loss_6),
    ]:
        size = sum(x.size for x in p.values())
        bits = nats / math.log(2)
        print(f"   {name:<25s}{size:10,d}{nats:12.3f}{bits:12.3f}{before - nats:10.3f}")
        before = nats
    assert alone > by_counts + 0.2
    assert loss_3 < loss_2 - 0.03 and loss_4 < loss_3 - 0.08
    assert loss_5 < loss_4 - 0.04 and loss_6 < loss_5 - 0.08

    print("\nWhat they write, from a line end on (a line end is shown as /)\n")
    for name, p, model in [
        ("2", p2, table),
        ("4", p4, distance),
        ("5", p6, attention),
    ]:
        text = write(p, model).replace("\n", "/")
        print(f"   {name}  {text[:70]}\n      {text[70:]}")
    print()
    say("""
        Votes are added: none can say "if both of these came before". A count of the last two
        characters can, and alone does about as well as all of this, but a count of the last five
        is worse than that of one (exercise 2). Transformers add up too. Then a feed-forward network
        says "if both", and the next layer attends again, to vectors in place of characters:
        06_gpt_on_one_page.py.
    """)


if __name__ == "__main__":
    main()
