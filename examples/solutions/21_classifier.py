"""Solutions to the exercises of 21_classifier.py."""

import numpy as np
from _solutions import answer, example_of

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.finetune.classification import evaluating, padded
from tinygrad_llm.model.classifier import Classifier
from tinygrad_llm.model.llama import Llama

lab = example_of(__file__)


def exercise_1():
    """The last column is not the last token.

    Texts of a batch are padded on the right, so the last column of a short text is padding. Read
    the hidden state there, and a text is classified by what the model makes of the text *and* of a
    number of zeros: the result depends on the longest text of the batch. Training on such batches
    even works, somewhat, since the padding has seen the text. It fails when texts come one by one.
    """
    config = LlamaConfig(
        vocab_size=50, block_size=32, n_layer=2, n_head=4, n_kv_head=2, n_embd=32, n_hidden=64
    )
    model = Classifier(Llama(config), ("ham", "spam"))
    rng = np.random.default_rng(0)
    text = rng.integers(1, 50, 5)
    errors = {}
    with evaluating(model):
        alone = model(text[None], [5]).numpy()[0]
        for longest in (5, 8, 16):
            ids, lengths = padded([text, rng.integers(1, 50, longest)])
            right = model(ids, lengths).numpy()[0]
            wrong = model(ids, [ids.shape[1]] * 2).numpy()[0]  # the last column
            errors[longest] = [
                np.abs(x - alone).max() / np.abs(alone).max() for x in (right, wrong)
            ]
            print(
                f"   batched with {longest:2d} tokens: off by {errors[longest][0]:.0e} at the last "
                f"token, {errors[longest][1]:.0e} in the last column"
            )
    assert all(right < 1e-5 for right, _ in errors.values())
    assert errors[5][1] < 1e-5 < 1e-2 < min(errors[8][1], errors[16][1])


def exercise_2():
    """95 % right and worth nothing.

    If 95 of 100 texts are ham, "ham" to everything is right in 95 % of the cases. Its F1 for spam
    is 0, and the mean of both F1 is about a half: the mean over classes does not let the common one
    hide the rare one. The second classifier finds 4 of 5 spam texts at the price of 6 mistakes on
    ham. Its accuracy is lower, and for a filter it is the better one. Which mistakes are worse is
    not in any of these numbers: look at the whole table.
    """
    found = []
    for name, matrix in (
        ("ham to everything", np.array([[95, 0], [5, 0]])),
        ("a real attempt", np.array([[89, 6], [1, 4]])),
    ):
        right, f1 = lab.scores_by_hand(matrix)
        found.append((right, f1.mean()))
        print(f"   {name:<18s} accuracy {right:.0%}, F1 {f1.round(3)}, mean {f1.mean():.3f}")
    (right, f1), (other, better) = found
    assert right == 0.95 > other and f1 < 0.5 < better


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
