"""Solutions to the exercises of 17_sft_masks.py."""

import numpy as np
from _solutions import answer, example_of

from tinygrad_llm.finetune.collate import collate
from tinygrad_llm.finetune.examples import shifted
from tinygrad_llm.finetune.logps import IGNORE
from tinygrad_llm.finetune.losses import sft_loss
from tinygrad_llm.training.optim import AdamW

lab = example_of(__file__)
TOKENIZER = lab.make_tokenizer()


def exercise_1():
    """One row, or a row for each answer.

    The same losses, and the same gradient. No token sees what follows it, so the first answer is
    predicted from exactly what it would be predicted from in a row of its own. One row with both
    answers counted gives them in a single pass, and reads the shared beginning once. Cutting a
    conversation into one row for each answer is correct and a waste, but for one case: a template
    that writes earlier turns differently once later ones follow.
    """
    ids, counts = lab.mask_by_hand(TOKENIZER, lab.CONVERSATION)
    first_ids, first_counts = lab.mask_by_hand(TOKENIZER, lab.CONVERSATION[:3])
    n = len(first_ids)
    assert np.array_equal(ids[:n], first_ids)
    only_last = counts & (np.arange(len(ids)) >= n)
    model = lab.small_model(TOKENIZER.vocab_size).astype(np.float64)

    def total(*rows):
        """The summed loss of rows, and its gradient."""
        batches = [collate([shifted(*row)]) for row in rows]
        losses = [sft_loss(model(b.ids), b.labels) * float(b.terms) for b in batches]
        return sum(loss.item() for loss in losses), lab.gradient(model, losses)

    (one, g), (two, g_two) = (
        total((ids, counts)),
        total((first_ids, first_counts), (ids, only_last)),
    )
    print(f"   one row {one:.6f}, two rows {two:.6f}, gradients apart by {lab.off(g_two, g):.0e}")
    print(f"   tokens read: {len(ids)}, and {n + len(ids)}")
    assert np.isclose(one, two, rtol=1e-12) and lab.off(g_two, g) < 1e-12


def exercise_2():
    """Padding that counts.

    Let the labels of the padding be END in place of -100. After END comes END is the easiest thing
    to learn, so within a few steps most labels cost next to nothing, and the mean says that all is
    well. It hides the answers, whose own loss is far above the one that is shown. And each token
    of an answer weighs less, the more padding there is, so what a row teaches depends on the rows
    that it is batched with.
    """
    end = TOKENIZER.special_tokens[lab.END]
    conversations = (lab.CONVERSATION[3:], lab.CONVERSATION)
    examples = [shifted(*lab.mask_by_hand(TOKENIZER, said)) for said in conversations]
    batch = collate(examples)
    lengths = np.array([len(example.ids) for example in examples])
    padding = np.arange(batch.ids.shape[1]) >= lengths[:, None]  # (B, T)
    counted = np.where(padding, end, batch.labels)
    model = lab.small_model(TOKENIZER.vocab_size)
    optimizer = AdamW(model.named_parameters(), lr=4e-3)
    for step in range(17):
        logits = model(batch.ids)
        shown, answers = sft_loss(logits, counted), sft_loss(logits, batch.labels)
        if step % 4 == 0:
            print(f"   step {step:2d}   shown {shown.item():.3f}   answers {answers.item():.3f}")
        shown.backward()
        optimizer.step()
        optimizer.zero_grad()
    share = (batch.labels != IGNORE).sum() / (counted != IGNORE).sum()
    print(f"   {share:.0%} of the labels that counted belong to answers")
    assert answers.item() > 1.4 * shown.item()


if __name__ == "__main__":
    answer(exercise_1, exercise_2)
