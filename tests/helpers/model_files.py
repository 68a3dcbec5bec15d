"""Changing the files of a model directory, as others may have written or damaged them."""

import json

from tinygrad_llm.pretrained.tensor_file import read_tensors, write_tensors

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"


def change_tensors(directory, change):
    tensors = read_tensors(directory / WEIGHTS)
    change(tensors)
    write_tensors(directory / WEIGHTS, tensors)


def change_config(directory, **options):
    path = directory / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **options}))


def split(directory):
    """Two files and an index in place of one file. Returns the index: tensor -> file."""
    tensors = read_tensors(directory / WEIGHTS)
    (directory / WEIGHTS).unlink()
    where = {name: f"part-{i % 2}.safetensors" for i, name in enumerate(sorted(tensors))}
    for file in ("part-0.safetensors", "part-1.safetensors"):
        names = [name for name in where if where[name] == file]
        write_tensors(directory / file, {name: tensors[name] for name in names})
    (directory / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": where}))
    return where
