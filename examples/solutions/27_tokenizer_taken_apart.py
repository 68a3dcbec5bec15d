"""Solutions to the exercises of 27_tokenizer_taken_apart.py."""

from collections import Counter

from _solutions import answer, example_of

from tinygrad_llm.tokenizer.patterns import GPT4_PATTERN, QWEN2_PATTERN, find_chunks

taken_apart = example_of(__file__)
TRAINING, VALIDATION = taken_apart.TRAINING, taken_apart.VALIDATION
bytes_per_token, trained = taken_apart.bytes_per_token, taken_apart.trained


def exercise_1():
    """The longest token first.

    Most chunks get the same ids, since most are one token, or one of the few ways to cut them. The
    others do not: the merges build a word from its frequent pieces, and the longest token at its
    beginning may cut through one of these. Which way is shorter depends on the word, and over the
    whole text the difference is less than a hundredth. But a model knows only the one it was
    trained with: ids of the other way are a text that it has never seen. (BERT's WordPiece does
    take the longest first.)
    """
    tokenizer = trained(taken_apart.SIZE)
    ranks = tokenizer.ranks
    longest = max(map(len, ranks))

    def longest_first(data):
        ids = []
        while data:
            size = next(n for n in range(longest, 0, -1) if data[:n] in ranks)
            ids.append(ranks[data[:size]])
            data = data[size:]
        return ids

    chunks = Counter(find_chunks(GPT4_PATTERN, VALIDATION))
    by_merges = {chunk: tokenizer.encode(chunk) for chunk in chunks}
    greedy = {chunk: longest_first(chunk.encode()) for chunk in chunks}
    other = [chunk for chunk in chunks if greedy[chunk] != by_merges[chunk]]
    sums = [sum(n * len(of[chunk]) for chunk, n in chunks.items()) for of in (by_merges, greedy)]
    print(f"   {len(other):,} of {len(chunks):,} different chunks get other ids")
    print(f"   tokens of the held-out text: {sums[0]:,} by merges, {sums[1]:,} longest first")
    for chunk in [chunk for chunk in other if chunk.strip().isalpha()][:3]:
        cuts = ["|".join(tokenizer.decode([i]) for i in of[chunk]) for of in (by_merges, greedy)]
        print(f"   {cuts[0].strip()}   and   {cuts[1].strip()}")
    assert sums[0] == len(tokenizer.encode(VALIDATION))
    assert 0 < len(other) < len(chunks) / 2 and abs(sums[1] / sums[0] - 1) < 0.02


def exercise_2():
    r"""One digit at a time.

    In the pattern \p{N}{1,3} becomes \p{N}, as in Qwen's. It costs next to nothing here: few
    characters of this text are digits. The merges that made tokens of digits are spent on words.
    Now every number has one token for each digit, whatever it is, so the model can learn once what
    a digit in each place means. In a text of tables of numbers the cost is large: up to three
    times as many tokens.
    """
    by_three, by_one = trained(taken_apart.SIZE), trained(taken_apart.SIZE, pattern=QWEN2_PATTERN)
    costs = [bytes_per_token(tokenizer, VALIDATION) for tokenizer in (by_three, by_one)]
    print(f"   bytes per token of the held-out text: {costs[0]:.3f} and {costs[1]:.3f}")
    for number in ("100", "1000", "12345"):
        print(f"   {number:<6s}  {taken_apart.pieces(by_three, number):<10s}  by digits:", end="  ")
        print(taken_apart.pieces(by_one, number))
        assert len(by_one.encode(number)) == len(number)
    assert abs(costs[1] / costs[0] - 1) < 0.02
    assert len(by_three.encode("100")) < 3


def exercise_3():
    """In capitals.

    To the tokenizer capitals are another script: its merges are of small letters, and hardly any
    applies. Trained on both, the capitals get tokens of their own, and the small letters pay, since
    the vocabulary is no larger. So it is with languages: a vocabulary of one size is divided among
    all that it is trained on, about as they are divided in its training text.
    """
    small, both = trained(taken_apart.SIZE), trained(taken_apart.SIZE, TRAINING + TRAINING.upper())
    rates = []
    print("   bytes per token         held-out text   in capitals")
    for name, tokenizer in (("trained once", small), ("trained on both", both)):
        rates.append([bytes_per_token(tokenizer, t) for t in (VALIDATION, VALIDATION.upper())])
        print(f"   {name:<24s}{rates[-1][0]:13.2f}{rates[-1][1]:14.2f}")
    assert rates[0][1] < 0.5 * rates[0][0]  # capitals are short of tokens
    assert rates[1][1] > 1.5 * rates[0][1] and rates[1][0] < 0.95 * rates[0][0]


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
