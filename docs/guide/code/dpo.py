"""Direct preference optimization: from pairs of answers, one better than the other."""

import numpy as np

from attention import log_softmax
from engine import log_sigmoid, mean, no_grad, total, where
from sft import example, pad, story_rows
from train import AdamW, clip

def response_logps(model, ids, labels):
    """log p of each row's labels, summed over those that are not -100: (B,)."""
    rows, columns = np.indices(labels.shape)
    logp = log_softmax(model(ids))[rows, columns, np.maximum(labels, 0)]  # (B, T)
    return total(where(labels != -100, logp, 0.0), axis=1)

def dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta=0.1):
    """-log sigmoid(beta z), averaged; z: how far the preference has moved."""
    z = (chosen - reference_chosen) - (rejected - reference_rejected)  # (B,)
    return mean(log_sigmoid(z * beta), keepdims=False) * -1

def prefer(model, tokenizer, pairs, steps, batch_size=8, lr=1e-4, beta=0.1, report=None):
    """Learn from (prompt, chosen, rejected); gives the losses."""
    sides = [pad([example(tokenizer, p[0], p[i]) for p in pairs], 0) for i in (1, 2)]
    with no_grad():  # the reference is the model as it is now
        reference = [response_logps(model, *side).data for side in sides]
    optimizer, losses = AdamW(model.parameters, weight_decay=0), []
    rng = np.random.default_rng(0)
    for step in range(steps):
        i = rng.integers(0, len(pairs), batch_size)
        policy = [response_logps(model, ids[i], labels[i]) for ids, labels in sides]
        loss = dpo_loss(*policy, reference[0][i], reference[1][i], beta)
        loss.backward()
        optimizer.step(lr, clip(model.parameters))
        losses.append(float(loss.data))
        if report and step % 10 == 0:
            report(f"step {step:4}  loss {losses[-1]:.3f}")
    return losses

if __name__ == "__main__":
    from pretrained import load
    from sft import answer

    model, tokenizer = load("answers.safetensors")
    prefer(model, tokenizer, story_rows(200, 8), 60, report=print)
    for prompt, *_ in story_rows(6, seed=9):
        print(f"{prompt}{answer(model, tokenizer, prompt)}\n")
