"""The program that renders a chat template; ``chat_template.py`` runs it in a process of its own.

It reads {"template": ..., "conversations": [variables, ...], "limits": ...} from standard input and
writes {"texts": [...]} or {"error": ..., "index": of the conversation}. It imports nothing of this
project, so it starts quickly.

A template is a program by a stranger. Jinja's sandbox keeps it from Python's internals, but not
from looping for ever or from filling the memory, and neither can be stopped from inside the process
that does it. So the process has limits, and the one that started it has a clock.
"""

import json
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class GenerationTag(Extension):
    """``{% generation %}`` marks what a model wrote, for training; here it is only its content."""

    tags = {"generation"}

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def raise_exception(message: str) -> None:
    """A template calls this for a conversation it cannot write."""
    raise TemplateError(message)


def strftime_now(format: str) -> str:
    """The present time, written as ``strftime`` does."""
    return datetime.now().strftime(format)


def to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """JSON as models are trained on it; Jinja's own filter escapes what HTML needs escaped."""
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


def renderer(template: str, max_characters: int) -> Callable[[dict[str, Any]], str]:
    """A function from variables to the text of a template.

    The environment is that which Hugging Face gives chat templates. All texts together have at most
    ``max_characters``.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[GenerationTag, loopcontrols]
    )
    environment.filters["tojson"] = to_json
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    compiled = environment.from_string(template)
    room = max_characters

    def render(variables: dict[str, Any]) -> str:
        nonlocal room
        pieces = []
        for piece in compiled.generate(variables):
            room -= len(piece)
            if room < 0:
                raise TemplateError(f"it writes more than {max_characters:,} characters")
            pieces.append(piece)
        return "".join(pieces)

    return render


def set_limits(max_bytes: int, max_seconds: int) -> None:
    """Limit this process's memory and processor time, where the system can."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CPU, (max_seconds, max_seconds))
        resource.setrlimit(resource.RLIMIT_AS, (max_bytes, max_bytes))


def main() -> None:
    """Render what standard input asks for."""
    task = json.loads(sys.stdin.buffer.read())
    set_limits(task["limits"]["bytes"], task["limits"]["seconds"])
    answer: dict[str, Any]
    texts: list[str] = []
    index = None  # of the conversation that a fault belongs to
    try:
        render = renderer(task["template"], task["limits"]["characters"])
        for index, variables in enumerate(task["conversations"]):  # noqa: B007
            texts.append(render(variables))
        answer = {"texts": texts}
    except MemoryError:
        answer = {"error": "it needs too much memory"}
    except RecursionError:
        answer = {"error": "it calls itself without end"}
    except Exception as error:  # a template can fail in any way that Python can
        answer = {"error": f"{type(error).__name__}: {error}"[:1000]}
    sys.stdout.write(json.dumps({**answer, "index": index}))  # in ASCII


if __name__ == "__main__":
    main()
