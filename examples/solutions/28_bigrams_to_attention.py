"""Solutions to the exercises of 28_bigrams_to_attention.py."""

from _solutions import answer, example_of

steps = example_of(__file__)
np, ops, V, T = steps.np, steps.ops, steps.V, steps.T
IDS, TARGETS = steps.HELD_OUT


def exercise_1():
    """One part at a time.

    Without the distances, a weight depends on two characters and not on where they stand. Put the
    characters before the last one into any other order, and its scores stay the same: attention
    alone sees a bag of characters, though it chooses from the bag. So its loss lies between that
    of step 3, which weights the whole bag equally, and that of step 5. This is why transformers
    need the positions, too, in one way or another.

    Without queries, two sums by distance gain a little over the one of step 4. They are less than
    one head with queries, and far from two. So most of the gain is due to the queries. They can
    only choose among what the votes can say, though: two heads have more of both.
    """

    def without_distances(p, ids):
        return steps.attention(p | {"distance 0": steps.Tensor(np.zeros(T, np.float32))}, ids)

    def two_sums(p, ids):
        silent = {f"query {h}": steps.Tensor(np.zeros((V, steps.D), np.float32)) for h in (0, 1)}
        return steps.attention(p | silent, ids)

    def new_two_sums(rng):
        p = steps.new_two_heads(rng)  # with distances that differ, or both sums would be the same
        p |= {f"distance {h}": steps.normal(rng, T, std=1) for h in (0, 1)}
        return {name: x for name, x in p.items() if not name.startswith("query")}

    order = [*np.random.default_rng(0).permutation(T - 1), T - 1]
    for model in (steps.attention, without_distances):
        p = steps.train(steps.new_attention, model)
        scores, shuffled = (model(p, ids).data[:, -1] for ids in (IDS[:50], IDS[:50, order]))
        change, nats = np.abs(shuffled - scores).max(), steps.loss(p, model)
        print(f"   {model.__name__:<20s} loss {nats:.3f}   in another order {change:8.1e}")
        assert (change < 1e-3) == (model is without_distances)
    p = steps.train(new_two_sums, two_sums)
    sums = steps.loss(p, two_sums)
    print(f"   {'two_sums':<20s} loss {sums:.3f}")
    one, two = (steps.loss(steps.train(new, steps.attention), steps.attention) for new in HEADS)
    fourth = steps.loss(steps.train(steps.new_distance, steps.distance), steps.distance)
    third = steps.loss(steps.train(steps.new_average, steps.average), steps.average)
    print(f"   steps 3, 4, 5 and two heads: {third:.3f}, {fourth:.3f}, {one:.3f}, {two:.3f}")
    assert one + 0.05 < nats < third
    assert one < sums < fourth and fourth - sums < (fourth - two) / 2


HEADS = steps.new_attention, steps.new_two_heads


def exercise_2():
    """Longer counts.

    Counts of two and of three characters do about as well as two heads with all T: counting knows
    what the last two say *together*, where votes are only added. But the rows become too many. Of
    the contexts of five characters in new text, one in ten has never been counted, and far more
    have been counted once or twice, which says little about what else may follow. From four on the
    loss rises. A longer context needs a model in which what is learned in one context serves
    others, as a vote does: it is learned once, and counts wherever a weight lets it.
    """

    def contexts_and_pairs(ids, n):
        """Each run of ``n`` characters as one number, and the run with what follows it."""
        context = np.zeros(len(ids) - n, np.int64)
        for k in range(n):
            context = V * context + ids[k : k - n]
        return context, V * context + ids[n:]

    def times(seen, asked):
        """How often each number of ``asked`` occurs in ``seen``."""
        seen = np.sort(seen)
        return np.searchsorted(seen, asked, "right") - np.searchsorted(seen, asked, "left")

    new = steps.encode(steps.VALIDATION)
    losses, unseen = [], []
    print("   characters            rows    never seen    loss")
    for n in range(1, 6):
        seen, asked = contexts_and_pairs(steps.IDS, n), contexts_and_pairs(new, n)
        of_context, of_pair = map(times, seen, asked)
        losses.append(-np.log((of_pair + 1) / (of_context + V)).mean())
        unseen.append((of_context == 0).mean())
        print(f"   {n:10d}{V**n:16,d}{unseen[-1]:14.1%}{losses[-1]:8.3f}")
    heads = steps.loss(steps.train(steps.new_two_heads, steps.attention), steps.attention)
    print(f"   two heads{heads:39.3f}")
    assert abs(losses[1] - heads) < 0.15 and abs(losses[2] - heads) < 0.15
    assert losses[2] < losses[3] < losses[4] and losses[4] > losses[0]
    assert unseen == sorted(unseen) and unseen[4] > 0.05


def exercise_3():
    """Without the mask.

    The loss falls to nearly nothing, and nothing has been learned: the weight goes to distance -1,
    where the next character stands, and its vote is for itself. Only the last place of a window,
    which has no later one, has to guess, and there the model is no better than step 2: of all that
    came before it has learned nothing but to vote for itself. When writing, the model is always in
    that place, and repeats what it sees. A loss that is too good is a reason to look for a way in
    which the answer got into the question.
    """

    def new_unmasked(rng):
        p = steps.new_average(rng)
        return p | {"distance 0": steps.normal(rng, 2 * T - 1)}  # from T - 1 behind to T - 1 ahead

    def unmasked(p, ids):
        w = ops.softmax(p["distance 0"][steps.AGO + T - 1])
        return steps.table(p, ids) + w @ ops.embedding(p["votes 0"], ids)

    p = steps.train(new_unmasked, unmasked)
    nats = steps.loss(p, unmasked)
    last = ops.cross_entropy(unmasked(p, IDS).data[:, -1], TARGETS[:, -1]).item()
    weights = ops.softmax(p["distance 0"]).data
    print(f"   loss {nats:.3f}, in the last place alone {last:.3f}")
    print(f"   weight of the next character {weights[T - 2]:.0%}")
    text = steps.write(p, unmasked, n=30)
    print(f"   it writes {text!r}")
    assert nats < 0.5 and last > 2.4 and weights[T - 2] > 0.8 and len(set(text)) < 10


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
