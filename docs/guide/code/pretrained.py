"""Pretrained weights: safetensors files, read and written, and GPT-2 from such a file."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from model import GPT, Config, shapes
from tokenizer import Tokenizer, gpt2

TYPES = {"F64": np.float64, "F32": np.float32, "F16": np.float16, "BF16": np.uint16}

def read(path):
    """The arrays of a safetensors file by name, and its metadata."""
    data = Path(path).read_bytes()
    n = int.from_bytes(data[:8], "little")  # the length of the header, which is JSON
    if n > len(data) - 8:
        raise SystemExit(f"{path} is no safetensors file, or was cut off")
    header, body = json.loads(data[8 : 8 + n]), data[8 + n :]
    metadata, arrays = header.pop("__metadata__", {}), {}
    for name, entry in header.items():
        if entry["dtype"] not in TYPES:
            continue  # GPT-2's causal masks, in some files
        start, end = entry["data_offsets"]
        if not 0 <= start <= end <= len(body):
            raise SystemExit(f"{path}: {name} does not lie within the file")
        array = np.frombuffer(body[start:end], TYPES[entry["dtype"]])
        if entry["dtype"] == "BF16":  # the upper half of a float32
            array = (array.astype(np.uint32) << 16).view(np.float32)
        arrays[name] = array.reshape(entry["shape"])
    return arrays, metadata

def write(path, arrays, metadata):
    """A safetensors file of float32 and float64 arrays."""
    header, start = {"__metadata__": metadata}, 0
    for name, array in arrays.items():
        kind = {"float32": "F32", "float64": "F64"}[str(array.dtype)]
        offsets = [start, start + array.nbytes]
        header[name] = {"dtype": kind, "shape": array.shape, "data_offsets": offsets}
        start += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # so that the numbers begin at a multiple of 8
    body = b"".join(array.tobytes() for array in arrays.values())
    partial = Path(f"{path}.partial")
    partial.write_bytes(len(text).to_bytes(8, "little") + text + body)
    partial.replace(path)  # whole or not at all

def save(path, model, tokenizer):
    """Model and tokenizer in one file."""
    arrays = {name: p.data for name, p in model.parameters.items()}
    about = {"config": asdict(model.config), "merges": list(tokenizer.merges)}
    write(path, arrays, {name: json.dumps(value) for name, value in about.items()})

def load(path):
    """The model and the tokenizer that `save` wrote."""
    if not Path(path).exists():
        raise SystemExit(f"there is no {path}; run train.py, then sft.py for the answers")
    arrays, about = read(path)
    config = Config(**json.loads(about["config"]))
    return GPT(config, arrays), Tokenizer(json.loads(about["merges"]))

def load_gpt2(folder):
    """GPT-2 from a folder with Hugging Face's config.json and model.safetensors."""
    c = json.loads((Path(folder) / "config.json").read_text())
    sizes = c["n_positions"], c["n_layer"], c["n_head"], c["n_embd"]
    config = Config(c["vocab_size"], *sizes)
    arrays = read(Path(folder) / "model.safetensors")[0]
    found = {name.removeprefix("transformer."): array for name, array in arrays.items()}
    for name, shape in shapes(config):
        here = found[name].shape if name in found else "nothing"
        if here != shape:
            raise SystemExit(f"{folder}: {name} should be {shape}, found {here}")
    return GPT(config, {n: found[n].astype(np.float32) for n, _ in shapes(config)})

if __name__ == "__main__":
    import sys

    if len(sys.argv) == 1:  # what is in the file that train.py wrote
        for name, p in load("story.safetensors")[0].parameters.items():
            print(f"{name:24} {str(p.shape):12} {p.data.std():.3f}")
    else:
        from generate import generate

        ids, rng = gpt2().encode("In the morning the old man"), np.random.default_rng(0)
        new = generate(load_gpt2(sys.argv[1]), ids, 20, rng, temperature=0.8, top_k=50)
        print(gpt2().decode(ids + new))
