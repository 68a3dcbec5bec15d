"""How a tokenizer's ids are used: the files next to a tokenizer.json.

tokenizer_config.json names the tokens that begin and end a text; the chat template is in the same
file, or in chat_template.jinja, which wins. What is added around every text is in tokenizer.json,
and the ids that end an answer are in generation_config.json or in the model's config.json.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tinygrad_llm.errors import UserError
from tinygrad_llm.files.json_file import Whole, read_bounded, read_json
from tinygrad_llm.tokenizer.json_format import CONFIG_FILE
from tinygrad_llm.tokenizer.special import END_OF_TEXT
from tinygrad_llm.tokenizer.vocabulary import Conventions

TEMPLATE_FILE = "chat_template.jinja"
STOP_FILES = ("generation_config.json", "config.json")
"""The first of these that names the ids at which generation stops is right."""
_STOPS = {"eos_token_id?": (Whole(0), [Whole(0)], None), ...: object}

MAX_CONFIG_BYTES = 1 << 24  # Gemma's lists its 6,415 added tokens once more
MAX_TEMPLATE_BYTES = 1 << 20


def read_conventions(
    folder: Path,
    added: Mapping[str, int],
    prefix_ids: tuple[int, ...] = (),
    suffix_ids: tuple[int, ...] = (),
    names: Mapping[str, str] = {},
) -> Conventions:
    """What the files in `folder` say; added: name -> id of the added tokens.

    names: bos_token, ... -> name, which counts before what tokenizer_config.json says.
    A config without a BOS leaves the first id that is added before every text. Raises UserError for
    a damaged file.
    """
    config: dict[str, Any] = {}
    if (folder / CONFIG_FILE).exists():
        config = read_json(folder / CONFIG_FILE, {...: object}, max_bytes=MAX_CONFIG_BYTES)
    found = {}
    for key, value in config.items():
        name = value.get("content") if isinstance(value, dict) else value
        if key.endswith("_token") and isinstance(name, str):
            found[key] = name
    names = found | {**names}
    bos, eos = (added.get(names.get(key, "")) for key in ("bos_token", "eos_token"))
    if bos is None and prefix_ids:
        bos = prefix_ids[0]
    template, stops = _template(folder, config), _stop_ids(folder)
    stops = tuple(i for i in stops if i != eos)
    return Conventions(bos, eos, prefix_ids, suffix_ids, template, names, stops)


def bos_and_eos(
    conventions: Conventions, special_tokens: Mapping[str, int]
) -> tuple[int | None, int | None]:
    """The ids that begin and end a text, for a file that names them.

    A tokenizer that was trained here has one for both, the end of text.
    """
    if conventions == Conventions():
        end = special_tokens.get(END_OF_TEXT)
        return end, end
    return conventions.bos_id, conventions.eos_id


def _stop_ids(folder: Path) -> tuple[int, ...]:
    for file in STOP_FILES:
        if (folder / file).exists():
            ids = read_json(folder / file, _STOPS).get("eos_token_id")
            if ids is not None:
                return tuple(ids) if isinstance(ids, list) else (ids,)
    return ()


def _template(folder: Path, config: Mapping[str, Any]) -> str | None:
    file = folder / TEMPLATE_FILE
    if file.exists():
        try:
            return read_bounded(file, MAX_TEMPLATE_BYTES).decode()
        except UnicodeDecodeError as error:
            raise UserError(f"{file} is not text: byte {error.start} is not UTF-8") from None
    template = config.get("chat_template")
    if isinstance(template, list):  # several by name
        named = [one for one in template if isinstance(one, dict) and one.get("name") == "default"]
        template = named[-1].get("template") if named else None
    return template if isinstance(template, str) else None
