"""Solutions to the exercises of 25_space_before_the_letter.py."""

import numpy as np
from _solutions import answer, example_of

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.evals.language_model import LanguageModel
from tinygrad_llm.evals.requests import Loglikelihood
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.tokenizer import train_bpe

lab = example_of(__file__)
TOKENIZER = train_bpe(["".join(f"{text} {letter}\n\n" for text, letter in lab.QUESTIONS)], 336)


def exercise_1():
    """A prompt that ends with a space.

    The strings are equal when they are put together, the tokens are not. In training the space was
    part of " A"; the token " " alone before "A" hardly ever occurred, so after a prompt that ends
    with it the model is in a place that it does not know. The same happens to a user who types a
    space before asking for a continuation. Encode prompt and answer together, or move the space.
    """
    apart = TOKENIZER.encode("Answer: ") + TOKENIZER.encode("A")
    together = TOKENIZER.encode("Answer: A")
    for name, ids in (("'Answer: ' + 'A'", apart), ("'Answer: A'", together)):
        print(f"   {name:<18s} {' | '.join(repr(TOKENIZER.decode([i])) for i in ids)}")
    assert TOKENIZER.decode(apart) == TOKENIZER.decode(together) and apart != together
    moved = TOKENIZER.encode("Answer:") + TOKENIZER.encode(" A")
    assert moved == together


def exercise_2():
    """A model that knows nothing has a favorite.

    The score of an answer is a sum of log-probabilities, each negative, so longer answers start
    behind. A model with random weights gives every token about 1 / V: it chooses the answer with
    the fewest tokens, every time. Its score is the share of questions whose right answer is the
    shortest, which may be far from chance. So the sum is often divided by the answer's length (in
    bytes, since tokens differ from model to model). With letters the question does not arise, since
    each is one token: it is one of the reasons for asking for letters.
    """
    config = LlamaConfig(
        vocab_size=TOKENIZER.vocab_size, block_size=64, n_layer=2, n_head=4, n_kv_head=4,
        n_embd=64, n_hidden=128,
    )  # fmt: skip
    model = LanguageModel(Llama(config).eval(), TOKENIZER)
    kinds = [f" {kind}" for kind in lab.KINDS]
    requests = [Loglikelihood(text, kind) for text, _ in lab.QUESTIONS for kind in kinds]
    found = {}
    for answers in model.answers(requests):
        found |= answers
    logps = np.array([found[i].logp for i in range(len(requests))]).reshape(-1, 4)
    lengths = [len(TOKENIZER.encode(kind)) for kind in kinds]
    for kind, n, logp in zip(kinds, lengths, logps.mean(axis=0), strict=True):
        print(f"   {kind!r:<22s} {n:2d} tokens, {logp:7.2f} nats, {logp / n:6.2f} each")
    assert (logps.argmax(axis=1) == np.argmin(lengths)).all()
    assert (logps.argmin(axis=1) == np.argmax(lengths)).all()


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
