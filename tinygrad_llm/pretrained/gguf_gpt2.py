"""A GPT-2 in a GGUF file: the names of its tensors and metadata, and the model.

Its matrices are (out, in), as ours are; in Hugging Face's files they are transposed.
"""

import numpy as np

from tinygrad_llm.config import GPTConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Number, Whole
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.pretrained.fill import fill
from tinygrad_llm.pretrained.gguf_file import GGUFFile
from tinygrad_llm.pretrained.gguf_names import (
    TABLE,
    check_tensors,
    read_facts,
    vocab_size,
)
from tinygrad_llm.pretrained.gguf_source import GGUFSource
from tinygrad_llm.pretrained.llama_config import MAX_LAYERS

TOP = {"wte": "token_embd", "wpe": "position_embd", "ln_f": "output_norm"}
LAYER = {
    "ln_1": "attn_norm",
    "attn.c_attn": "attn_qkv",
    "attn.c_proj": "attn_output",
    "ln_2": "ffn_norm",
    "mlp.c_fc": "ffn_up",
    "mlp.c_proj": "ffn_down",
}
HEAD = "output.weight"

_SIZE = Whole(1, 2**31 - 1)
SCHEMA = {
    "block_count": Whole(1, MAX_LAYERS),
    "context_length": _SIZE,
    "embedding_length": _SIZE,
    "feed_forward_length": _SIZE,
    "attention.head_count": _SIZE,
    "attention.layer_norm_epsilon": Number(0, 1),
}
"""What is read of the metadata, below "gpt2."."""


def gguf_name(name: str) -> str:
    """h.3.attn.c_attn.weight -> blk.3.attn_qkv.weight"""
    module, _, part = name.rpartition(".")
    if module in TOP:
        return f"{TOP[module]}.{part}"
    _, layer, module = module.split(".", 2)
    return f"blk.{layer}.{LAYER[module]}.{part}"


def shapes(config: GPTConfig) -> dict[str, tuple[int, ...]]:
    """The file's name of every tensor -> its shape."""
    C = config.n_embd
    found: dict[str, tuple[int, ...]] = {
        TABLE: (config.vocab_size, C),
        "position_embd.weight": (config.block_size, C),
    }
    for i in range(config.n_layer):
        for name, n_out, n_in in (
            ("attn_norm", C, None), ("attn_qkv", 3 * C, C), ("attn_output", C, C),
            ("ffn_norm", C, None), ("ffn_up", 4 * C, C), ("ffn_down", C, 4 * C),
        ):  # fmt: skip
            found[f"blk.{i}.{name}.weight"] = (n_out,) if n_in is None else (n_out, n_in)
            found[f"blk.{i}.{name}.bias"] = (n_out,)
    return found | {"output_norm.weight": (C,), "output_norm.bias": (C,)}


def read_config(file: GGUFFile) -> GPTConfig:
    """The GPTConfig of a file, without dropout, which is not stored.

    Raises UserError for metadata that are missing or not what they should be.
    """
    facts = read_facts(file, SCHEMA)
    rows = vocab_size(file)
    width = facts["embedding_length"]
    if facts["feed_forward_length"] != 4 * width:
        raise UserError(
            f"{file.path}: gpt2.feed_forward_length is {facts['feed_forward_length']}, but must be "
            f"4 embedding_length = {4 * width} for our GPT"
        )
    try:
        return GPTConfig(
            vocab_size=rows,
            block_size=facts["context_length"],
            n_layer=facts["block_count"],
            n_head=facts["attention.head_count"],
            n_embd=width,
            dropout=0.0,
            layer_norm_epsilon=facts["attention.layer_norm_epsilon"],
        )
    except UserError as error:
        raise UserError(f"{file.path}: {error}") from error


def load_gpt2(
    file: GGUFFile,
    dtype: str = "float32",
    seed: int = 0,
    finite: bool = True,
    weights: str = "float32",
) -> GPT:
    """The model in a GGUF file of the architecture gpt2; ``load_gguf`` says what is raised.

    Some files store the token table once more, as the output layer: it must be the same there.
    """
    config = read_config(file)
    check_tensors(file, shapes(config), optional=(HEAD,))
    if HEAD in file.tensors and not _is_table(file):
        raise UserError(
            f"{file.path}: {HEAD} differs from {TABLE}, but this model uses one table for both: "
            "its output weights are not tied"
        )
    model = GPT(config, seed=seed, initialize=False)
    names = [name for name, _ in model.named_parameters()]
    sources = {name: GGUFSource(file, gguf_name(name), {}, finite) for name in names}
    fill(model, sources, dtype, weights)
    return model.eval()


def _is_table(file: GGUFFile) -> bool:
    """Whether the output layer is the token table, in the same format or as the same numbers."""
    head, table = file.tensors[HEAD], file.tensors[TABLE]
    if head.shape != table.shape:
        return False
    in_pieces = file.stored_pieces if head.format == table.format else file.pieces
    pairs = zip(in_pieces(HEAD), in_pieces(TABLE), strict=True)
    return all(np.array_equal(one, other, equal_nan=True) for one, other in pairs)
