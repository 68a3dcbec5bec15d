"""``train --config FILE``: options from a file, in addition to those of the command line.

The file is a run's run.json (or the run), a JSON object of options, or TOML:

    preset = "small"
    steps = 3000
    optimizer = "muon"

Its options are put in front of those that were typed, which therefore take precedence. Both then go
through the same checks. A run.json has all options of its run, also those that the preset's recipe
and the optimizer filled in. These are left to them again: with another --preset or --optimizer,
they are then that one's.
"""

import difflib
import tomllib
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from tinygrad_llm.config import PRESETS, RECIPES, TrainConfig
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path
from tinygrad_llm.files.json_file import parse_json, read_bounded
from tinygrad_llm.optimizer_options import DEFAULTS
from tinygrad_llm.training.runs import RUN_FILE

MAX_BYTES = 1 << 20
NOT_FROM_FILES = ("out", "resume", "no_verify", "config")
"""Options of a run.json that belong to that run alone."""


def with_config(argv: Sequence[str]) -> tuple[list[str], list[str], Path | None]:
    """``train ...`` with the options of the file that --config names, if it is there.

    Also returns ``train`` with these options alone, and the path of the file. Raises UserError for
    a file that is not of options, and for an option that does not exist.
    """
    name = _named(argv)
    if argv[:1] != ["train"] or name is None:
        return list(argv), [], None
    if any(a.partition("=")[0] == "--resume" for a in argv):
        raise UserError("--resume takes its options from the run's run.json: leave out --config")
    path = user_path(name)
    path = path / RUN_FILE if path.is_dir() else path
    alone = ["train", *_arguments(_options(path), path)]
    return [*alone, *argv[1:]], alone, path


def _named(argv: Sequence[str]) -> str | None:
    for number, argument in enumerate(argv):
        option, equals, value = argument.partition("=")
        if option == "--config":
            return value if equals else "".join(argv[number + 1 : number + 2]) or None
    return None


def _options(path: Path) -> dict[str, Any]:
    """The options in the file, by the names of fields."""
    if path.suffix not in (".toml", ".json", ""):
        raise UserError(
            f"{path}: --config takes TOML (a name that ends in .toml) and JSON (.json, as a run's "
            "run.json)"
        )
    data = read_bounded(path, MAX_BYTES)
    if path.suffix == ".toml":
        try:
            content: dict[str, Any] = tomllib.loads(data.decode())
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UserError(f"{path} is not TOML: {error}") from None
    else:
        content = parse_json(data, str(path), {...: object}, file_names=True)
    if isinstance(content.get("options"), dict):
        if "task" in content:
            raise UserError(
                f"{path} is that of a run of fine-tuning, whose options are not train's"
            )
        content = {k: v for k, v in content["options"].items() if k not in NOT_FROM_FILES}
        content = _without_recipe(content)
    return {name.replace("-", "_"): value for name, value in content.items()}


def _without_recipe(options: dict[str, Any]) -> dict[str, Any]:
    """The options of a run without those that its preset and its optimizer give by themselves."""
    preset, optimizer = (options.get(n, getattr(TrainConfig, n)) for n in ("preset", "optimizer"))
    if preset not in PRESETS or optimizer not in (None, *DEFAULTS):
        return options  # the checks of options will say so
    recipe = asdict(TrainConfig(preset=preset, optimizer=optimizer).with_recipe())
    recipe["optimizer"] = RECIPES[preset].optimizer
    default = TrainConfig()
    return {
        name: value
        for name, value in options.items()
        if getattr(default, name, ...) is not None or value != recipe[name]
    }


def _arguments(options: dict[str, Any], path: Path) -> list[str]:
    known = {f.name: f for f in fields(TrainConfig)}
    arguments = []
    for name, value in options.items():
        if name not in known or name == "config":
            near = difflib.get_close_matches(name, known, 1)
            raise UserError(
                f"{path}: train has no option {name}"
                + (f": did you mean {near[0]}?" if near else " (see `train --help`)")
            )
        default, option = known[name].default, f"--{name.replace('_', '-')}"
        if isinstance(value, list):
            value = tuple(value)
        if isinstance(value, dict) or isinstance(default, bool) != isinstance(value, bool):
            expected = "true or false" if isinstance(default, bool) else "a number or a text"
            raise UserError(f"{path}: {name} is {value!r}, expected {expected}")
        if value is None or value == default:
            continue
        if isinstance(value, bool):
            arguments.append(option if value else f"--no-{name.replace('_', '-')}")
        elif isinstance(value, tuple):
            arguments += [option, *map(str, value)]
        else:
            arguments.append(f"{option}={value}")
    return arguments
