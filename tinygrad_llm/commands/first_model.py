"""The model that a run starts from: random weights, or with --init-from those of another one."""

from dataclasses import asdict, fields, replace
from typing import TYPE_CHECKING

from tinygrad_llm.commands.models import open_model
from tinygrad_llm.commands.text_options import ModelOptions
from tinygrad_llm.config import PRESETS, GPTConfig, ModelConfig, TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.model import Model, build_model

if TYPE_CHECKING:
    from tinygrad_llm.tokenizer import Tokenizer

SHAPE = ("block_size", "n_layer", "n_head", "n_kv_head", "n_embd", "n_hidden", "vocab_size")


def open_first_model(config: TrainConfig) -> tuple[Model, "Tokenizer"]:
    """The model that ``config.init_from`` means, in float32 and ready to train, and its tokenizer.

    Raises UserError if the options ask for another shape or another tokenizer.
    """
    assert config.init_from is not None
    if config.tokenizer is not None:
        raise UserError(
            f"--tokenizer is {config.tokenizer} and --init-from {config.init_from}: a model goes "
            "on with its own tokenizer; leave out --tokenizer"
        )
    options = ModelOptions(weights="float32", no_verify=config.no_verify)
    model, tokenizer = open_model(config.init_from, options)
    _check_shape(config, model.config)
    if isinstance(model.config, GPTConfig) and model.config.dropout != config.dropout:
        trained = build_model(replace(model.config, dropout=config.dropout), config.seed)
        trained.load_state_dict(model.state_dict())
        model = trained
    return model.train(), tokenizer


def _check_shape(config: TrainConfig, shape: ModelConfig) -> None:
    """Raise UserError for an option that differs from the model's shape."""
    advice = f"leave it out: --init-from {config.init_from} says what the model's shape is"
    preset = PRESETS[config.preset]
    if "preset" in config.typed and type(preset) is not type(shape):
        raise UserError(
            f"--preset {config.preset} is a {_family(preset)} and the model a {_family(shape)}; "
            + advice
        )
    if "preset" in config.typed:
        asked = config.model_config(shape.vocab_size)
        for field in fields(shape):
            wanted, has = getattr(asked, field.name), getattr(shape, field.name)
            if wanted != has and field.name != "dropout":
                raise UserError(
                    f"--preset {config.preset} has {field.name} {wanted} and the model {has}; "
                    + advice
                )
    for name in SHAPE:
        wanted, has = getattr(config, name), asdict(shape).get(name)
        if wanted is not None and wanted != has:
            raise UserError(
                f"--{name.replace('_', '-')} is {wanted}, but the model has "
                f"{'no such number' if has is None else has}; {advice}"
            )
    if config.dropout and not isinstance(shape, GPTConfig):
        raise UserError(
            f"--dropout is {config.dropout}, but the model is a Llama, which has none: leave it out"
        )


def _family(shape: ModelConfig) -> str:
    return "GPT" if isinstance(shape, GPTConfig) else "Llama"
