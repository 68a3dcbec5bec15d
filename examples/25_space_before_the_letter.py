""" " A" is not "A": why one space moves a score.

What it teaches. A multiple-choice question ends with "Answer:", and the model is asked which letter
comes next. For a model there is no letter, only tokens, and in most vocabularies the letter with a
space before it is a token of its own: " A" is as different from "A" as from "cat". In running text
the letter always has its space, so that is the one the model has learned to predict. Asking for the
other one compares four unlikely things, and has moved MMLU by up to 11 points.

Part 1 looks at the tokens. Part 2 trains a small model on solved questions and asks in both ways.
Part 3 shows where the letter has no space: after a line end, as in a chat.

    python examples/25_space_before_the_letter.py                          # a small model
    python examples/25_space_before_the_letter.py smollm2-135m-instruct    # and a real one

Before: 24_pass_at_k.py. Next: 26_eval_of_a_tiny_model.py. The page to read is
tinygrad_llm/evals/encoding.py.

Exercises, answered in solutions/25_space_before_the_letter.py. Try first.

1. A prompt that ends with a space. Encode "Answer: " and "A" apart, and "Answer: A" together. Which
   tokens has the model seen in training?
2. A model that knows nothing has a favorite. Let a model with random weights choose among the words
   of KINDS in place of the letters. Which one does it choose, and why?
"""

import sys

from _small_model import np

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.requests import Loglikelihood
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained import load_pretrained
from tinygrad_llm.tokenizer import train_bpe
from tinygrad_llm.training.optim import AdamW

LETTERS = "ABCD"
KINDS = {
    "in the sky": ["sun", "moon", "star"],
    "weather": ["rain", "snow", "wind"],
    "part of a tree": ["leaf", "root", "bark"],
    "an animal": ["bird", "fish", "frog"],
}
CHOICES = "".join(f"{a}. {kind}\n" for a, kind in zip(LETTERS, KINDS, strict=True))
WORDS = {word: a for a, words in zip(LETTERS, KINDS.values(), strict=True) for word in words}
QUESTIONS = [(f"What is {word}?\n{CHOICES}Answer:", letter) for word, letter in WORDS.items()]


def part_1_the_tokens(tokenizer):
    print("1. The tokens\n")
    for text in ("Answer: A", "Answer:A", "Answer:\nA", "A. sun"):
        pieces = [tokenizer.decode([i]) for i in tokenizer.encode(text)]
        print(f"   {text!r:14s} is {' | '.join(map(repr, pieces))}")
    for letter in LETTERS:
        assert len(tokenizer.encode(f" {letter}")) == len(tokenizer.encode(letter)) == 1
        assert tokenizer.encode(f" {letter}") != tokenizer.encode(letter)
    a, b = tokenizer.encode("A"), tokenizer.encode(" A")
    print(f"\n   'A' is {a}, ' A' is {b}: two rows of the embedding, with nothing in common.\n")


def train(tokenizer, steps=120):
    """A model that has read the solved questions."""
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size, block_size=64, n_layer=2, n_head=4, n_kv_head=4,
        n_embd=64, n_hidden=128,
    )  # fmt: skip
    model = Llama(config, seed=0)
    ids = np.array([tokenizer.encode(f"{text} {letter}") for text, letter in QUESTIONS])
    optimizer = AdamW(model.named_parameters(), lr=3e-3)
    for _ in range(steps):
        model.loss(ids[:, :-1], ids[:, 1:]).backward()
        optimizer.step()
        optimizer.zero_grad()
    return model.eval()


def ask(model, space):
    """(share of right letters, mean probability of the four letters together)."""
    requests = [Loglikelihood(text, f"{space}{x}") for text, _ in QUESTIONS for x in LETTERS]
    found = {}
    for answers in model.answers(requests):
        found |= answers
    logps = np.array([found[i].logp for i in range(len(requests))]).reshape(-1, 4)  # (N, 4)
    golds = np.array([LETTERS.index(letter) for _, letter in QUESTIONS])
    return (logps.argmax(1) == golds).mean(), np.exp(logps).sum(1).mean()


def part_2_both_ways(name, model):
    print(f"2. {name}, asked in both ways\n")
    print("   continuation    right letters    probability of the four together")
    scores = {}
    for space in (" ", ""):
        scores[space], mass = ask(model, space)
        print(f"   {space + 'A'!r:14s}{scores[space]:14.0%}{mass:20.6f}")
    print("""
   The four letters without a space are all but impossible after "Answer:". Which of them is the
   least impossible has little to do with the question, and still it makes a score.
""")
    return scores


def part_3_where_there_is_no_space(tokenizer):
    print("3. Where the letter has no space\n")
    chat, text = tokenizer.encode("assistant\nA"), tokenizer.encode("Answer: A")
    print(f"   In text, after 'Answer:', the letter is {tokenizer.decode(text[-1:])!r}.")
    print(f"   In a chat, where a line end comes before it, it is {tokenizer.decode(chat[-1:])!r}.")
    assert tokenizer.decode(chat[-1:]) == "A" and tokenizer.decode(text[-1:]) == " A"
    print("""
   So the task mmlu scores " A", and mmlu_chat scores "A". A prompt should not end with a space
   either: after "Answer: " the token " A" would be cut in two. Where one does, the space is moved
   to the front of the answer, here as in lm-evaluation-harness.""")


def main():
    if len(sys.argv) > 1:
        name = sys.argv[1]
        model, tokenizer = load_pretrained(name)
    else:
        name = "A small model"
        lines = [f"{text} {letter}\n\n" for text, letter in QUESTIONS]
        tokenizer = train_bpe(["".join(lines)], 336)
        model = train(tokenizer)
    part_1_the_tokens(tokenizer)
    scores = part_2_both_ways(name, LanguageModel(model, tokenizer))
    if len(sys.argv) == 1:
        assert scores[" "] == 1 and scores[""] < 0.6
    part_3_where_there_is_no_space(tokenizer)


if __name__ == "__main__":
    main()
