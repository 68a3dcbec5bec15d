"""Generation: one token after another, each drawn from the model's probabilities."""

import numpy as np

from engine import no_grad

def sample(logits, u, temperature=1.0, top_k=None):
    """The id that u, uniform in [0, 1), picks from logits (V,)."""
    if temperature == 0:
        return int(logits.argmax())
    best = np.argsort(-logits, kind="stable")[:top_k]  # of equal ones the lowest ids
    ids = np.sort(best)
    x = logits[ids].astype(np.float64)
    p = np.exp((x - x.max()) / temperature)
    cdf = np.cumsum(p)
    i = np.searchsorted(cdf, u * cdf[-1], side="right")  # the first sum above u
    return int(ids[min(i, np.flatnonzero(p)[-1])])

def generate(model, ids, n, rng, temperature=1.0, top_k=None, end=None):
    """Up to n new ids after the given ones; stops after the id `end`."""
    ids, new = list(ids), []
    with no_grad():
        while len(new) < n and (not new or new[-1] != end):
            window = np.array([(ids + new)[-model.config.block_size :]])
            logits = model(window).data[0, -1]  # (V,)
            new.append(sample(logits, rng.random(), temperature, top_k))
    return new

if __name__ == "__main__":
    import sys

    from pretrained import load

    model, tokenizer = load("story.safetensors")
    prompt = " ".join(sys.argv[1:]) or "One evening Mia went to the"
    ids, rng = [tokenizer.end, *tokenizer.encode(prompt)], np.random.default_rng()
    for temperature in (0, 0.7, 1.0, 1.5):
        new = generate(model, ids, 80, rng, temperature, top_k=50, end=tokenizer.end)
        print(f"[temperature {temperature}] {prompt}{tokenizer.decode(new)}\n")
