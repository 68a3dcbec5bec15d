"""The slash commands of a chat, and what they can change.

Each is a function of the chat and of what was typed after its name. The first line of its docstring
is its line in /help.
"""

import shlex
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

import numpy as np

from tinygrad_llm.commands.chat_screen import Pipe
from tinygrad_llm.commands.conversation import Conversation, load_conversation
from tinygrad_llm.commands.text_options import SamplingOptions
from tinygrad_llm.commands.writing import check_sampling
from tinygrad_llm.errors import UserError
from tinygrad_llm.files import user_path


@dataclass
class ChatState:
    """What a chat is made of, apart from the model."""

    screen: Pipe
    conversation: Conversation
    sampling: SamplingOptions
    stats: bool
    """Whether the speed is shown after each answer."""
    file: Path | None = None
    """Where the conversation was saved to or loaded from."""
    over: bool = False
    """Whether the user wants to leave."""

    def __post_init__(self) -> None:
        self.reseed()

    def reseed(self) -> None:
        """Start the random numbers again."""
        self.rng = np.random.default_rng(self.sampling.seed)


def reset(chat: ChatState, argument: str) -> None:
    """start again, with the same system prompt"""
    chat.conversation = Conversation(chat.conversation.system)
    chat.screen.notice("the conversation starts again")


def system(chat: ChatState, argument: str) -> None:
    """[TEXT]: show the system prompt, or set it"""
    if argument:
        chat.conversation.system = argument
        chat.screen.notice("the system prompt is set, for the conversation so far too")
    elif chat.conversation.system is None:
        chat.screen.notice("no system prompt is set; the model's template may have its own")
    else:
        chat.screen.notice(chat.conversation.system)


def save(chat: ChatState, argument: str) -> None:
    """FILE: write the conversation as JSON"""
    path = _file(argument, "/save FILE", chat.file)
    if path.exists() and path.resolve() != chat.file:
        raise UserError(f"{path} already exists: choose another name")
    chat.conversation.save(path)
    chat.file = path.resolve()
    chat.screen.notice(f"{_count(chat.conversation)} written to {path}")


def load(chat: ChatState, argument: str) -> None:
    """FILE: go on with a saved conversation"""
    path = _file(argument, "/load FILE", None)
    chat.conversation = load_conversation(path)
    chat.file = path.resolve()
    chat.screen.notice(f"{_count(chat.conversation)} read from {path}")


def params(chat: ChatState, argument: str) -> None:
    """[NAME VALUE]: show the sampling options, or set one"""
    words = argument.split()
    if len(words) not in (0, 2):
        raise UserError("/params takes nothing, or a name and a value: /params temperature 0.5")
    if words:
        chat.sampling = _changed(chat.sampling, *words)
        words[1:] = []
        if _name(words[0]) == "seed":
            chat.reseed()
    names = [_name(word) for word in words] or [f.name for f in fields(SamplingOptions)]
    width = max(map(len, names))
    for name in names:
        chat.screen.notice(f"{name:<{width}}  {_shown(getattr(chat.sampling, name))}")


def stats(chat: ChatState, argument: str) -> None:
    """show the speed after each answer, or stop doing so"""
    chat.stats = not chat.stats
    chat.screen.notice(f"the speed is {'shown' if chat.stats else 'not shown'} after each answer")


def help(chat: ChatState, argument: str) -> None:
    """list the commands"""
    for name, command in COMMANDS.items():
        text = command.__doc__ or ""
        arguments, colon, rest = text.partition(": ")
        usage, text = (f"/{name} {arguments}", rest) if colon else (f"/{name}", text)
        chat.screen.notice(f"{usage:<22}  {text}")
    chat.screen.notice(f"{'//...':<22}  say something that begins with a slash")
    chat.screen.notice(f"{'Ctrl-C':<22}  stop an answer; Ctrl-D: end the chat")


def exit(chat: ChatState, argument: str) -> None:
    """end the chat"""
    chat.over = True


COMMANDS: dict[str, Callable[[ChatState, str], None]] = {
    function.__name__: function
    for function in (reset, system, save, load, params, stats, help, exit)
}


def run_command(chat: ChatState, line: str) -> None:
    """Run the line, which starts with a slash. Raises UserError for a command that is unknown."""
    name, argument = [*line[1:].split(maxsplit=1), "", ""][:2]
    if name not in COMMANDS:
        raise UserError(
            f"there is no command /{name}: /help lists them; to say something that begins with a "
            "slash, type two"
        )
    COMMANDS[name](chat, argument.strip())


def _file(argument: str, usage: str, default: Path | None) -> Path:
    """The file that a command names; quotes as in a shell are allowed, and not needed."""
    if not argument:
        if default is None:
            raise UserError(f"the name of the file is missing: {usage}")
        return default
    if argument[0] in "'\"":
        try:
            (argument,) = shlex.split(argument)
        except ValueError:
            raise UserError(f"the name of the file is not one quoted word: {argument}") from None
    return user_path(argument)


def _count(conversation: Conversation) -> str:
    number = len(conversation.messages)
    return f"{number} message{'s' * (number != 1)}"


def _name(word: str) -> str:
    return word.removeprefix("--").replace("-", "_")


def _changed(options: SamplingOptions, name: str, text: str) -> SamplingOptions:
    """The options with one changed. Raises UserError for a name or value that is not possible."""
    kinds = get_type_hints(SamplingOptions).get(_name(name))
    option = _name(name).replace("_", "-")
    if kinds is None:
        known = ", ".join(f.name for f in fields(SamplingOptions))
        raise UserError(f"there is no option {name}: known are {known}")
    possible = get_args(kinds) if isinstance(kinds, UnionType) else (kinds,)
    for kind in possible:
        try:
            if kind is NoneType:
                value: Any = {"none": None}[text.lower()]
            elif kind in (int, float):
                value = kind(text)
            else:
                continue
        except (KeyError, ValueError):
            continue
        changed = replace(options, **{_name(name): value})
        check_sampling(changed)
        return changed
    words = {int: "a whole number", float: "a number", NoneType: "none"}
    expected = [words[kind] for kind in possible if kind in words]
    if not expected:
        raise UserError(f"{name} cannot be changed during a chat: start again with --{option}")
    raise UserError(f"{name} is {text}, expected {' or '.join(expected)}")


def _shown(value: Any) -> str:
    if value in (None, (), {}):
        return "none"
    if isinstance(value, dict):
        value = tuple(f"{key}: {inner}" for key, inner in value.items())
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
