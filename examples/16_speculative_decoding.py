"""Speculative decoding, step by step: a small model guesses, a large one checks.

What it teaches. To generate a token, a model reads all its weights; to score five tokens that are
already there, it reads them once as well. So a cheap draft model proposes a few tokens, and the
model scores them in one pass. The proposals that it agrees with stand, and where it disagrees it
has its own token ready. The text is exactly the model's own: a bad draft costs time, never quality.

Part 1 does this at temperature 0, in fifteen lines, and prints each pass. Part 2 does it with
sampling, where a rule of acceptance keeps the distribution exact, and proves the rule by summing
over every case. Part 3 is the arithmetic of how many tokens a pass yields. Part 4 needs no second
model: it looks for the last words in the text itself.

Before: 15_sampling.py. Next: 17_sft_masks.py. The proof for any distribution, and the page to read,
is tinygrad_llm/generation/speculative.py.

Exercises, answered in solutions/16_speculative_decoding.py. Try first.

1. Two rules that look right. In part 2, draw a rejected token's replacement from p; or accept only
   where p(x) >= q(x). Which distribution do the tokens have then?
2. How often a proposal stands. Express the probability of acceptance by p and q alone. What does
   this say a draft should be trained for?
3. How many to propose. A draft's pass costs c of a pass of the model, and each proposal stands with
   probability a. Which k is fastest for a = 0.8 and c = 0.1, or 1/3? When does no draft pay?
"""

import textwrap

from _small_model import PAGE, make_tokenizer, np, train_small_model

from tinygrad_llm.generation import Decoder, DraftModel, PromptLookup, generate

PROMPT = "Beautiful is better than"
N_NEW, K = 40, 4  # tokens to generate, and to propose at a time
LINES = PAGE[PAGE.index(PROMPT) : PAGE.index("Complex is")]


def part_1_greedy(model, draft, tokenizer, ids):
    print("1. At temperature 0: what the draft proposes, and what stands\n")
    text, passes, stands = list(ids), 0, 0
    large, small = Decoder(model), Decoder(draft)
    seen, guessed = large.cache(), small.cache()
    while len(text) < len(ids) + N_NEW:
        proposed = list(text)
        while len(proposed) < len(text) + K:  # the draft: one pass for each proposal
            new = proposed[len(guessed.ids[0]) :]
            proposed.append(int(small([new], guessed)[0].argmax()))
        (logits,) = large([proposed[len(seen.ids[0]) :]], seen, all_positions=True)
        choices = logits[-K - 1 :].argmax(axis=-1).tolist()  # the model's own K + 1 tokens
        proposed = proposed[-K:]
        n = next((i for i in range(K) if proposed[i] != choices[i]), K)  # so many stand
        text += choices[: n + 1]
        for cache in (seen, guessed):  # forget what has not happened
            cache.truncate(min(len(text) - 1, len(cache.ids[0])))
        passes, stands = passes + 1, stands + n
        shown = [repr(tokenizer.decode([i]))[1:-1] for i in proposed]
        shown[n:] = [f"({piece})" for piece in shown[n:]]
        own = repr(tokenizer.decode([choices[n]]))[1:-1]
        print(f"   {n} of {K} stand: {'|'.join(shown):<40s} then the model's own {own}")
    text = text[: len(ids) + N_NEW]
    alone = [int(token) for (token,) in generate(model, np.array([ids]), N_NEW, temperature=0)]
    assert text[len(ids) :] == alone
    print(f"\n   {N_NEW} tokens in {passes} passes of the model, the same as by itself in {N_NEW}:")
    print(textwrap.indent(tokenizer.decode(text), "   | ") + "\n")


def part_2_sampling():
    """Every case of one token, for a model p and a draft q over three tokens."""
    print("2. With sampling: accept x with probability min(1, p(x) / q(x)), or draw from p - q\n")
    p, q = np.array([0.6, 0.3, 0.1]), np.array([0.2, 0.3, 0.5])
    accepted = q * np.minimum(1, p / q)  # proposed and accepted
    residual = np.maximum(p - q, 0) / np.maximum(p - q, 0).sum()
    rejected = (1 - accepted.sum()) * residual  # rejected, and drawn from what is missing
    print(f"   {'x':>4s}{'p(x)':>8s}{'q(x)':>8s}{'accepted':>12s}{'residual':>12s}{'sum':>8s}")
    for x in range(3):
        total = accepted[x] + rejected[x]
        print(f"   {'abc'[x]:>4s}{p[x]:8.2f}{q[x]:8.2f}{accepted[x]:12.2f}", end="")
        print(f"{rejected[x]:12.2f}{total:8.2f}")
    np.testing.assert_allclose(accepted + rejected, p, atol=1e-15)
    print(f"\n   The sum is p, whatever q is; q decides that {accepted.sum():.0%} are accepted.\n")


def part_3_how_many(model, draft, ids):
    print("3. Tokens for each pass of the model\n")
    n = 80
    print(f"   {'proposed at a time':>20s}{'accepted':>10s}{'tokens a pass':>15s}{'formula':>10s}")
    for k in (1, 2, 4, 8):
        helper = DraftModel(draft, n_tokens=k)
        list(generate(model, np.array([ids]), n, seed=0, draft=helper))
        counts = helper.counts
        share = counts.accepted / counts.proposed
        if k == 1:
            a = share
        expected = sum(a**i for i in range(k + 1))
        print(f"   {k:20d}{share:10.0%}{n / counts.passes:15.2f}{expected:10.2f}")
        assert counts.accepted + counts.passes == n  # each pass yields one of the model's own
    print("""
   If each proposal is accepted with probability a, here that of the first row, a pass of k
   proposals yields 1 + a + ... + a^k tokens. The share of accepted ones falls with k, since the
   first to be rejected takes all later ones with it. A draft's passes cost time too, which this
   table leaves out: so k is small in practice.
""")


def part_4_prompt_lookup(model, tokenizer):
    print("4. Without a draft model: what followed these tokens earlier in the text?\n")
    prompt = np.array([tokenizer.encode(LINES)])
    lookup = PromptLookup()
    found = [int(token) for (token,) in generate(model, prompt, 30, temperature=0, draft=lookup)]
    alone = [int(token) for (token,) in generate(model, prompt, 30, temperature=0)]
    assert found == alone
    counts = lookup.counts
    print(
        f"   {counts.passes} passes for 30 tokens: {counts.accepted} of {counts.proposed} proposals"
    )
    print("   were accepted, and the text is the model's own:")
    print(textwrap.indent(tokenizer.decode(found), "   | "))


def main():
    print("Both models are small and have been trained here within seconds, the draft briefly.\n")
    tokenizer = make_tokenizer()
    model = train_small_model(tokenizer, steps=150)
    draft = train_small_model(tokenizer, n_layer=1, n_embd=32, steps=85, seed=1)
    ids = tokenizer.encode(PROMPT)
    part_1_greedy(model, draft, tokenizer, ids)
    part_2_sampling()
    part_3_how_many(model, draft, ids)
    part_4_prompt_lookup(model, tokenizer)


if __name__ == "__main__":
    main()
