"""A small corpus for examples that need held-out texts, and a model that learns it in seconds.

Each document is about one place, and each place has words of its own. A model that knows this sees
from the first words of a document which others are likely: like real texts, these are easier to
predict the more of them one has read. Places that come first are written about more often.
"""

import warnings

from _small_model import np

from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.tokenizer import train_bpe
from tinygrad_llm.training.optim import AdamW, clip_scale, global_norm

# Of each place: things, what they are like, what they do.
WORDS = {
    "harbor": "gull sail anchor sailor tide rope, old grey salty wet, pulls lifts drops holds",
    "kitchen": "cook soup knife oven plate onion, hot sharp clean round, cuts boils stirs burns",
    "forest": "owl oak fern fox moss hunter, green silent dark tall, hides finds follows hears",
    "school": "pupil master chalk desk book exam, strict young shy clever, reads marks asks hates",
    "station": "train guard ticket porter track sign, late fast long iron, stops calls meets moves",
    "farm": "cow plough barn hen farmer horse, muddy strong brown fat, feeds milks leads chases",
}
PLACES = {place: [kind.split() for kind in kinds.split(",")] for place, kinds in WORDS.items()}
NAMES = list(PLACES)
OFTEN = np.array([32, 16, 8, 4, 2, 1]) / 63
BLOCK = 64


def sentence(place, rng):
    """Such as "The old gull lifts the wet rope." and a line end."""
    things, adjectives, verbs = PLACES[place]
    one, other = rng.choice(things, 2, replace=False)
    a, b = rng.choice(adjectives, 2)
    return f"The {a} {one} {rng.choice(verbs)} the {b} {other}.\n"


def document(n, rng):
    """``n`` sentences about one place."""
    place = rng.choice(NAMES, p=OFTEN)
    return "".join(sentence(place, rng) for _ in range(n))


def training_texts(n=600, seed=0):
    rng = np.random.default_rng(seed)
    return [document(rng.integers(1, 21), rng) for _ in range(n)]


def characters(n=400, n_held_out=60):
    """Documents of four sentences as characters: (characters, ids, ids of those held out)."""
    texts = [
        "".join(document(4, rng) for _ in range(some))
        for some, rng in ((n, np.random.default_rng(0)), (n_held_out, np.random.default_rng(1)))
    ]
    letters = sorted(set(texts[0]))
    ids, held_out = (np.array([letters.index(c) for c in text]) for text in texts)
    return letters, ids, held_out


def loss_of_counting_pairs(ids, held_out):
    """The loss of a model that counts in ``ids`` how often each character follows each."""
    pairs = np.ones((ids.max() + 1, ids.max() + 1))  # 1, so that nothing is impossible
    np.add.at(pairs, (ids[:-1], ids[1:]), 1)
    pairs /= pairs.sum(axis=1, keepdims=True)
    return -float(np.log(pairs[held_out[:-1], held_out[1:]]).mean())


def make_tokenizer(texts, vocab_size=512):
    with warnings.catch_warnings(action="ignore"):  # all words are fewer than 512
        return train_bpe(texts, vocab_size)


def untrained_model(tokenizer, seed=0):
    config = LlamaConfig(
        vocab_size=tokenizer.vocab_size, block_size=BLOCK, n_layer=2, n_head=4, n_kv_head=2,
        n_embd=64, n_hidden=128, tied=True,
    )  # fmt: skip
    return Llama(config, seed=seed)


def training(model, tokenizer, texts, steps, seed=0):
    """Train on ``texts``, each after the token that begins a text; yields 0, 1, ..., steps."""
    rng = np.random.default_rng(seed)
    ids = np.concatenate([[tokenizer.eot_id, *tokenizer.encode(text)] for text in texts])
    optimizer = AdamW(model.named_parameters(), lr=4e-3)
    yield 0
    for step in range(1, steps + 1):
        at = rng.integers(0, len(ids) - BLOCK, size=(16, 1)) + np.arange(BLOCK)
        model.loss(ids[at], ids[at + 1]).backward()
        optimizer.step(grad_scale=clip_scale(global_norm(model.parameters()), 1.0))
        optimizer.zero_grad()
        yield step
