"""adapter_config.json, the options of an adapter in the files of the library PEFT.

PEFT has dozens of options, and gets more. Those in SCHEMA are read. Any other must be off (null,
false or empty) or be known to change nothing, else it is refused by name: what it asks for would
not be computed.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Number, Whole, read_json, short
from tinygrad_llm.pretrained.directory import ADAPTER

CONFIG = ADAPTER
SCHEMA = {
    "peft_type": "LORA",
    "r": Whole(1, 2**31),
    "lora_alpha": Number(0),
    "lora_dropout?": Number(0, 0.999),
    "target_modules?": (str, [str], None),
    "exclude_modules?": (str, [str], None),
    "layers_to_transform?": (int, [int], None),
    "layers_pattern?": (str, [str], None),
    "rank_pattern?": ({...: Whole(1, 2**31)}, None),
    "alpha_pattern?": ({...: Number(0)}, None),
    "use_rslora?": bool,
    "use_dora?": bool,
    "bias?": "none",
    # Other values change the weights of the base as well.
    "init_lora_weights?": (True, False, "gaussian", "orthogonal", "eva"),
    ...: object,
}
HARMLESS = frozenset(
    "task_type inference_mode auto_mapping base_model_name_or_path revision peft_version "
    "fan_in_fan_out runtime_config eva_config megatron_core qalora_group_size".split()
)
"""Options that may have any value: none changes what is computed here."""


class AdapterConfig(NamedTuple):
    """What the file of an adapter says, with transformers' names of layers."""

    r: int
    alpha: float
    dropout: float = 0.0
    use_rslora: bool = False
    use_dora: bool = False
    targets: tuple[str, ...] | None = None
    """Ends of the names of the layers that have tensors; None if they are chosen in another way."""
    rank_pattern: Mapping[str, int] = {}
    alpha_pattern: Mapping[str, float] = {}
    base: str | None = None
    """The name or path of the model that the adapter was trained on."""

    def rank_and_alpha(self, layer: str) -> tuple[int, float]:
        """(r, alpha) of a layer: those of the first name in a pattern that is its end."""
        r = next((v for end, v in self.rank_pattern.items() if ends(layer, end)), self.r)
        alpha = next((v for end, v in self.alpha_pattern.items() if ends(layer, end)), self.alpha)
        return r, alpha


def ends(name: str, end: str) -> bool:
    """Whether a dotted name is ``end`` or ends with it."""
    return name == end or name.endswith(f".{end}")


def read_config(path: Path) -> AdapterConfig:
    """The options in an adapter_config.json.

    Raises UserError for a file that is missing or damaged, and for options that would change the
    result and are not supported.
    """
    if not path.is_file():
        raise UserError(f"there is no file {path}: is {path.parent} the folder of an adapter?")
    options = read_json(path, SCHEMA)
    known = {str(key).removesuffix("?") for key in SCHEMA}
    for option, value in options.items():
        if (
            option not in known
            and option not in HARMLESS
            and value not in (None, False, {}, [], "")
        ):
            raise UserError(
                f"{path}: the option {short(option)} is {short(value)}, and an adapter with it is "
                "not supported: it would change the result"
            )
    patterns = {
        key: {_plain(path, key, end): value for end, value in (options.get(key) or {}).items()}
        for key in ("rank_pattern", "alpha_pattern")
    }
    targets, base = options.get("target_modules"), options.get("base_model_name_or_path")
    fewer = (options.get(key) for key in ("exclude_modules", "layers_to_transform"))
    listed = isinstance(targets, list) and all(value in (None, [], "") for value in fewer)
    return AdapterConfig(
        r=options["r"],
        alpha=options["lora_alpha"],
        dropout=float(options.get("lora_dropout", 0)),
        use_rslora=options.get("use_rslora", False),
        use_dora=options.get("use_dora", False),
        targets=tuple(targets) if listed else None,
        base=base if isinstance(base, str) and base else None,
        **patterns,
    )


def _plain(path: Path, key: str, pattern: str) -> str:
    """The end of a name that a pattern of PEFT, a regular expression, stands for.

    A stranger's regular expression could take for ever, so only names are accepted.
    """
    end = pattern.removeprefix("^").removesuffix("$").replace(r"\.", ".")
    if not re.fullmatch(r"[\w.]{1,200}", end, re.ASCII):
        raise UserError(
            f"{path}: {key} has {short(pattern)}, and only names of layers are supported there"
        )
    return end


def config_text(config: AdapterConfig, fan_in_fan_out: bool) -> str:
    """The file of a config; what is not in it has PEFT's default value."""
    options: dict[str, Any] = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": config.base,
        "inference_mode": True,
        "r": config.r,
        "lora_alpha": _short_number(config.alpha),
        "lora_dropout": config.dropout,
        "target_modules": list(config.targets or ()),
        "rank_pattern": dict(config.rank_pattern),
        "alpha_pattern": {k: _short_number(v) for k, v in config.alpha_pattern.items()},
        "use_rslora": config.use_rslora,
        "use_dora": config.use_dora,
        "bias": "none",
        "fan_in_fan_out": fan_in_fan_out,
        "init_lora_weights": True,
    }
    return json.dumps(options, indent=2) + "\n"


def _short_number(value: float) -> float:
    """A whole number as one: PEFT's own files have those."""
    return int(value) if value == int(value) else value
