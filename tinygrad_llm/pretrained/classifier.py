"""A classifier as a Hugging Face directory, which AutoModelForSequenceClassification opens.

It is the directory of the body, in which a tensor score.weight (K, C) replaces the output layer and
config.json has the names of the classes. transformers takes the hidden state of the last token that
is not pad_token_id, and knows no other pooling: "pooling" is an option of ours, which it ignores.
"""

from contextlib import closing
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import read_json
from tinygrad_llm.model.classifier import POOLINGS, Classifier
from tinygrad_llm.model.gpt import GPT
from tinygrad_llm.model.llama import Llama
from tinygrad_llm.pretrained import gpt2, llama
from tinygrad_llm.pretrained.directory import (
    CLASSIFIER,
    CONFIG,
    SCORE,
    is_classifier,
    write_model,
)
from tinygrad_llm.pretrained.llama_config import read_model_type
from tinygrad_llm.pretrained.names import find_model
from tinygrad_llm.pretrained.save import to_files
from tinygrad_llm.pretrained.weights import Reader, check_tensor, stored_tensors
from tinygrad_llm.tokenizer import Tokenizer

_SCHEMA = {"id2label": {...: str}, "pooling?": POOLINGS, ...: object}


def save_classifier(model: Classifier, tokenizer: Tokenizer, directory: Path) -> None:
    """Write a classifier (float32) and its tokenizer into ``directory``, made if need be.

    Raises what ``save_pretrained`` raises.
    """
    tensors, config = to_files(model.body, tokenizer)
    tensors[SCORE] = model.score.weight.numpy()
    base = config["architectures"][0].removesuffix("ForCausalLM").removesuffix("LMHeadModel")
    pad = config["eos_token_id"]
    config |= {
        "architectures": [base + CLASSIFIER],
        "id2label": {str(i): label for i, label in enumerate(model.labels)},
        "label2id": {label: i for i, label in enumerate(model.labels)},
        "problem_type": "single_label_classification",
        "pooling": model.pooling,
        "pad_token_id": pad[0] if isinstance(pad, list) else pad,
    }
    write_model(directory, tensors, config)
    tokenizer.save(directory, model_max_length=model.body.config.block_size)


def load_classifier(path_or_name: str | Path) -> tuple[Classifier, Tokenizer]:
    """(classifier, tokenizer) of a run, a checkpoint or a model directory; in evaluation mode.

    Raises UserError for what is not a classifier, and for files that are missing or damaged.
    """
    directory = find_model(path_or_name)
    if not directory.is_dir() or not is_classifier(directory):
        raise UserError(
            f"{directory} is not a classifier: expected a run of `tinygrad-llm finetune classify`, "
            "or a model directory of transformers' classes for sequence classification"
        )
    options = read_json(directory / CONFIG, _SCHEMA)
    labels = _labels(options["id2label"], directory / CONFIG)
    body: GPT | Llama
    if read_model_type(directory / CONFIG) == "gpt2":
        body = gpt2.load_model(directory, classifier=True)
    else:
        body = llama.load_llama(directory, classifier=True)
    model = Classifier(body, labels, options.get("pooling", "last"))
    stored = stored_tensors(directory)
    check_tensor(stored, SCORE, model.score.weight.shape, directory)
    with closing(Reader()) as reader:
        model.score.weight.data = reader.read(SCORE, stored[SCORE], slice(None), "float32")
    return model.eval(), Tokenizer.load(directory)


def _labels(names: dict[str, Any], path: Path) -> tuple[str, ...]:
    """The labels in the order of their ids. Raises UserError unless these are 0, 1, 2, ..."""
    ids = [str(i) for i in range(len(names))]
    if sorted(names) != sorted(ids) or len(set(names.values())) < len(ids) or not ids:
        raise UserError(f"{path}: id2label must name each of the classes 0, 1, 2, ... once")
    return tuple(names[i] for i in ids)
