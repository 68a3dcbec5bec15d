"""A byte-pair tokenizer, trained on a small text and taken apart.

What it teaches. A model reads and writes token ids, and everything about a text that the ids do not
show is hidden from it. A tokenizer is learned, too, by one step that is repeated: find the pair of
neighbours that occurs most often, and make it a token. Most of what seems odd about language models
and spelling, numbers, spaces or languages other than English begins here.

Part 1 trains on one sentence, step by step. Part 2 asks why the text is first cut into chunks, and
part 3 how a word falls apart. Part 4 is on bytes, and on what comes back. Part 5 asks how large a
vocabulary should be. Part 6 reads the same text with GPT-2's, if its files are on this computer.
Part 7 is about what goes wrong.

    python examples/27_tokenizer_taken_apart.py

Before: 26_eval_of_a_tiny_model.py. Next: 28_bigrams_to_attention.py. The page to read is
tinygrad_llm/tokenizer/reference.py, whose functions are used here. Example 25 is on one consequence
for evaluation.

Exercises, answered in solutions/27_tokenizer_taken_apart.py. Try first.

1. The longest token first. Part 3 replays the merges in the order in which they were learned. Take
   at each place the longest token that fits instead. Are the ids the same? Are they fewer?
2. One digit at a time. Change the pattern so that each digit is a chunk. What does it cost on the
   held-out text, and what does it do for the numbers of part 7?
3. In capitals. How many bytes has a token of the held-out text in capitals? Then train on the text
   twice, once in capitals: who pays?
"""

import os
import re
import tempfile
from collections import Counter
from hashlib import sha1
from pathlib import Path

import numpy as np
from _topics import TRAINING, VALIDATION, say

from tinygrad_llm.tokenizer import Tokenizer, get_tokenizer, train_bpe
from tinygrad_llm.tokenizer.patterns import GPT4_PATTERN, find_chunks
from tinygrad_llm.tokenizer.reference import count_pairs, merge

SENTENCE = "she sells sea shells; the shells she sells are sea shells, she said"
SIZE = 2048
SIZES = (256, 512, 1024, 2048, 4096)
WHOLE = r"[\s\S]+"  # a pattern that does not cut
WORDS = ("function", "object", "class", "statement", "value")

# The first sentence of the Universal Declaration of Human Rights.
ARTICLE_1 = {
    "English": "All human beings are born free and equal in dignity and rights.",
    "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах.",
    "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है।",
    "Chinese": "人人生而自由,在尊严和权利上一律平等。",
}


def trained(size, text=TRAINING, pattern="gpt4"):
    """A vocabulary of ``size`` ids: 256 bytes and the merges."""
    return train_bpe([text], size, pattern, special_tokens=())


def smaller(tokenizer, size):
    """The same vocabulary after fewer steps."""
    ids = tokenizer.ranks
    pairs = [(ids[a], ids[b]) for a, b in tokenizer.merges()[: size - 256]]
    return Tokenizer(pairs, special_tokens=())


def bytes_per_token(tokenizer, text):
    return len(text.encode()) / len(tokenizer.encode(text))


def shown(token):
    """A token's bytes for a person: a space as a dot, a byte that is no character as its number."""
    return token.decode(errors="backslashreplace").replace(" ", "·")


def pieces(tokenizer, text):
    return "|".join(shown(tokenizer.decode_bytes([i])) for i in tokenizer.encode(text))


# --- part 1 ---------------------------------------------------------------------------------------


def part_1_step_by_step(steps=9):
    print("1. Training, step by step\n")
    chunks = (chunk.encode() for chunk in find_chunks(GPT4_PATTERN, SENTENCE))
    words = {tuple(chunk): count for chunk, count in Counter(chunks).items()}
    token, pairs, what = [bytes([b]) for b in range(256)], [], ""
    print(f"   {SENTENCE}\n\n   step   the pair    times  tokens   the first words")
    for step in range(steps + 1):
        length = sum(count * len(word) for word, count in words.items())
        text = " ".join("|".join(shown(token[i]) for i in word) for word in list(words)[:4])
        print(f"   {step:4d}   {what:17s}{length:8d}   {text}")
        if step < steps:
            counts = count_pairs(words)
            a, b = min(counts, key=lambda pair: (-counts[pair], pair))  # on a tie, the lowest ids
            what = f"{shown(token[a])} + {shown(token[b])}"
            what = f"{what:<12s}{counts[a, b]:5d}"
            words = {merge(word, (a, b), len(token)): count for word, count in words.items()}
            pairs.append((a, b))
            token.append(token[a] + token[b])
    assert trained(256 + len(pairs), SENTENCE).merges() == [(token[a], token[b]) for a, b in pairs]
    print()
    say(f"""
        A dot is a space. Each step makes one token of two, and the text shorter by one token for
        each pair that is replaced. Nothing else is learned. train_bpe finds the same {len(pairs)}
        merges.
    """)


# --- part 2 ---------------------------------------------------------------------------------------


def covers(tokenizer, word, text=TRAINING):
    """The different runs of tokens that the word lies in, wherever it stands in the text."""
    ids = tokenizer.encode(text)
    sizes = tokenizer.token_bytes()[ids]
    ends = np.cumsum(sizes)
    runs = Counter()
    for place in re.finditer(rf"\b{word}\b".encode(), text.encode()):
        first = np.searchsorted(ends, place.start(), "right")
        last = np.searchsorted(ends - sizes, place.end(), "left")
        runs[tuple(ids[first:last])] += 1
    return runs


def part_2_why_chunks(tokenizer):
    print("2. Why chunks\n")
    whole = trained(SIZE, pattern=WHOLE)
    print("   Cut into:  " + " | ".join(map(repr, find_chunks(GPT4_PATTERN, "isn't 1234, is it?"))))
    print()
    say(f"""
        Merges never cross a cut. Trained on Python's reference, with and without cuts, to {SIZE:,}
        ids:
    """)
    print(f"{'':34s}with chunks   without")
    for title, text in (("training", TRAINING), ("held-out", VALIDATION)):
        a, b = (bytes_per_token(t, text) for t in (tokenizer, whole))
        print(f"   bytes per token, {title:<10s}{a:15.2f}{b:10.2f}")
        assert b > a
    ways = []
    for word in WORDS:
        a, b = (covers(t, word) for t in (tokenizer, whole))
        assert a.total() == b.total() and set(map(tokenizer.decode, a)) == {word, f" {word}"}
        ways.append((len(a), len(b)))
        print(f"   ways to write {word:<13s}{len(a):15d}{len(b):10d}")
    assert sum(a for a, _ in ways) == 2 * len(WORDS) < sum(b for _, b in ways)
    tokens = [whole.decode([i]) for i in range(256, SIZE)]
    across = sorted((t for t in tokens if re.fullmatch(r" ?[a-z]+ [a-z]+ ?", t)), key=len)
    print()
    say(f"""
        Without, tokens are phrases: {", ".join(map(repr, across[-3:]))}. The text gets shorter. But
        a word then has a token for each neighbour that it often has, and a model must learn for
        each of them again what the word means. With chunks there are two: one token after a space,
        and one elsewhere.
    """)
    assert across


# --- part 3 ---------------------------------------------------------------------------------------


def part_3_a_word_falls_apart(tokenizer, word=" functionality"):
    print("3. How a word falls apart\n")
    token = list(tokenizer.ranks)
    ids = tuple(word.encode())
    print(f"   {'':23s}{'|'.join(shown(token[i]) for i in ids)}")
    for step, (a, b) in enumerate(tokenizer.merges()):
        merged = merge(ids, (tokenizer.ranks[a], tokenizer.ranks[b]), 256 + step)
        if merged != ids:
            ids = merged
            cut = "|".join(shown(token[i]) for i in ids)
            print(f"   merge {step + 1:4d} makes {256 + step:4d}  {cut}")
    assert list(ids) == tokenizer.encode(word)
    print()
    say("Merges are replayed in the order in which they were learned. So spelling matters:")
    for text in (" function", "function", " Function", " FUNCTION", " fucntion", " unbelievably"):
        print(f"   {text!r:<18s}{len(tokenizer.encode(text)):2d}   {pieces(tokenizer, text)}")
    like = (" function", "function", " Function")
    assert len({tuple(tokenizer.encode(text)) for text in like}) == len(like)
    print()
    say("""
        A model does not see that these are alike: they are rows of a table, and no row shows
        letters.
    """)


# --- part 4 ---------------------------------------------------------------------------------------


def part_4_why_bytes(tokenizer):
    print("4. Why bytes\n")
    known = set(TRAINING)
    say(f"The training text has {len(known)} different characters, and Unicode some 150,000.")
    print("              characters   unknown   bytes   tokens   a character")
    for language, text in ARTICLE_1.items():
        ids, unknown = tokenizer.encode(text), sum(c not in known for c in text)
        sizes = f"{len(text):13d}{unknown:10d}{len(text.encode()):8d}{len(ids):9d}"
        print(f"   {language:<8s}{sizes}{len(ids) / len(text):14.2f}")
        assert tokenizer.decode(ids) == text
        assert len(ids) < 0.7 * len(text) if unknown < 3 else len(ids) > 1.5 * len(text)
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, 20_000, dtype=np.uint8).tobytes()
    for data in (noise, bytes(range(256)), TRAINING.encode(), "🦉 e\u0301".encode()):
        assert tokenizer.decode_bytes(tokenizer.encode_bytes(data)) == data
    text = "für"
    begin = tokenizer.decode_bytes(tokenizer.encode(text))[:2]
    print()
    say(f"""
        A vocabulary of characters cannot write the unknown ones. All texts are bytes, and with all
        256 of them as tokens nothing is unknown. It is only longer: what the training text lacks
        stays in single bytes, two or three a character.

        What comes back is what went in: shown for these sentences, the training text, all bytes,
        and {len(noise):,} random ones. But a token may be a part of a character. The first two
        bytes of {text!r} are {begin}, as text {begin.decode(errors="replace")!r}. Text that is
        written token by token has to wait for the rest of a character.
    """)


# --- part 5 ---------------------------------------------------------------------------------------


def part_5_how_large(largest):
    print("5. How large?\n")
    print("                 bytes per token          gain over       merges used")
    print("      size    training    held-out        half the size   under 10 times")
    rows = []
    for size in SIZES:
        tokenizer = smaller(largest, size)
        ids = tokenizer.encode(TRAINING)
        training, held_out = (bytes_per_token(tokenizer, text) for text in (TRAINING, VALIDATION))
        rare = int((np.bincount(ids, minlength=size)[256:] < 10).sum())
        gain = held_out / rows[-1][0] - 1 if rows else 0
        rows.append((held_out, gain, rare))
        cell = f"{gain:.0%}" if rows[1:] else ""
        print(f"   {size:7,d}{training:12.2f}{held_out:12.2f}{cell:>16s}{rare:19,d}")
    assert smaller(largest, SIZE).fingerprint() == trained(SIZE).fingerprint()
    rates, gains, rares = map(list, zip(*rows, strict=True))
    assert rates == sorted(rates) and rares == sorted(rares)
    assert gains[1:] == sorted(gains[1:], reverse=True)
    print()
    say(f"""
        (The first {SIZE - 256:,} merges of a large vocabulary are those of a small one, so one
        training gives them all.) Each doubling gains less, and more of the tokens are so rare that
        a model sees them only a few times. A text in fewer tokens is read faster, and a model's
        context holds more of it; but a larger vocabulary has a larger table to train.
    """)


# --- part 6 ---------------------------------------------------------------------------------------


def gpt2_from_the_cache():
    """GPT-2's tokenizer, or None and the reason: tiktoken would download its files."""
    variables = (os.environ.get(name) for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"))
    folder = next(filter(None, variables), Path(tempfile.gettempdir(), "data-gym-cache"))
    url = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main/"
    for name in ("vocab.bpe", "encoder.json"):
        if not Path(folder, sha1((url + name).encode()).hexdigest()).is_file():
            return None, f"its {name} is not in {folder}, where tiktoken keeps such files"
    return get_tokenizer("gpt2"), ""


def part_6_gpt2(tokenizer):
    print("6. GPT-2's vocabulary\n")
    gpt2, reason = gpt2_from_the_cache()
    if gpt2 is None:
        say(f"""
            Left out: {reason}. get_tokenizer("gpt2") downloads them once. If you have them
            elsewhere, set TIKTOKEN_CACHE_DIR to their folder.
        """)
        return
    for text in ("The statement is unbelievably simple.", "Die Würde des Menschen", "x = 12345"):
        print(f"   ours    {pieces(tokenizer, text)}\n   GPT-2   {pieces(gpt2, text)}\n")
    print(f"   bytes per token       ours, {SIZE:,} ids   GPT-2, {gpt2.vocab_size:,} ids")
    rates = {}
    for name, text in [("Python, held out", VALIDATION), *ARTICLE_1.items()]:
        rates[name] = [bytes_per_token(t, text) for t in (tokenizer, gpt2)]
        print(f"   {name:<22s}{rates[name][0]:15.2f}{rates[name][1]:20.2f}")
        assert gpt2.decode(gpt2.encode(text)) == text
    ours, theirs = rates.pop("Python, held out")
    assert abs(ours / theirs - 1) < 0.15 and all(b > 1.3 * a for a, b in rates.values())
    print()
    say(f"""
        Where the text is like the one we trained on, our vocabulary, {gpt2.vocab_size / SIZE:.0f}
        times smaller, does about as well. Elsewhere it does not: a tokenizer knows what it was
        trained on, and both know little of other scripts.
    """)


# --- part 7 ---------------------------------------------------------------------------------------


def part_7_what_goes_wrong(tokenizer):
    print("7. What goes wrong\n")
    ids = tokenizer.encode(TRAINING)
    a_space_at_the_end(tokenizer, ids)
    numbers(tokenizer)
    tokens_that_never_come(tokenizer, ids)
    many_ids_for_one_text(tokenizer)


def a_space_at_the_end(tokenizer, ids):
    for text in ("The value is", "The value is "):
        print(f"   {text!r:<18s}{pieces(tokenizer, text)}")
    first = [tokenizer.decode([i])[:1] for i in range(SIZE)]  # of each token
    (space,) = tokenizer.encode(" ")
    after = [first[b] for a, b in zip(ids, ids[1:], strict=False) if a == space]
    letters = sum(c.isalpha() for c in after) / len(after)
    words = sum(first[i] == " " and i != space for i in ids)
    assert letters < 0.25 and words > 5 * len(after)
    print()
    say(f"""
        A space at the end. The training text has {words:,} tokens that begin with a space. Only
        {len(after):,} are a space alone, and a letter follows {letters:.0%} of these. A model that
        is to go on with a word after the second text has hardly ever seen that.
    """)


def numbers(tokenizer):
    for number in ("100", "999", "1000", "1234", "12345", "3.14159"):
        print(f"   {number:<18s}{pieces(tokenizer, number)}")
    assert list(find_chunks(GPT4_PATTERN, "12345")) == ["123", "45"]
    print()
    say("""
        Numbers. A digit's worth depends on its place from the right, and chunks of three are cut
        from the left. Whether digits then share a token depends on which numbers were frequent.
    """)


def tokens_that_never_come(tokenizer, ids):
    never = [tokenizer.decode([i]) for i in sorted(set(range(256, SIZE)) - set(ids))]
    assert never and all(token in TRAINING for token in never)
    words = [repr(token) for token in never if token.strip().isalpha()]
    say(f"""
        Tokens that never come. {len(never)} merges, such as {", ".join(words[:5])}, are only steps
        on the way to longer tokens. The training text holds their letters, but always inside
        something longer. So a model trained on it never reads them, and what it does with one is
        chance. Large models have such tokens, too (Land and Bartolo 2024, "Fishing for Magikarp").
    """)


def many_ids_for_one_text(tokenizer):
    one = [tokenizer.ranks[c.encode()] for c in " function"]
    text = tokenizer.decode(one)
    other = tokenizer.encode(text)
    assert tokenizer.decode(other) == text == " function" and other != one
    print(f"   {text!r:<18s}{other}\n   {text!r:<18s}{one}\n")
    say("""
        Many ids, one text. From a text to ids and back is exact; from ids to a text and back is
        not. A model may write the second, and reads the first when the text comes back to it.
    """)


def main():
    largest = trained(max(SIZES))
    tokenizer = smaller(largest, SIZE)
    part_1_step_by_step()
    part_2_why_chunks(tokenizer)
    part_3_a_word_falls_apart(tokenizer)
    part_4_why_bytes(tokenizer)
    part_5_how_large(largest)
    part_6_gpt2(tokenizer)
    part_7_what_goes_wrong(tokenizer)


if __name__ == "__main__":
    main()
