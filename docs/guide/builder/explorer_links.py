"""Links into the explorer: whether the graph, the view, the step and the tensor are on its page."""

import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from builder.problems import GuideError

KEYS = ("graph", "view", "step", "tensor", "of", "cell")
"""What an address of the page may hold."""
OF_A_MODEL = ("lens", "maps", "run")
"""Views that are on the page of a model alone, not on the one with the built-in graphs."""


def explorer_problem(state: str) -> str | None:
    """What is wrong with an address such as graph=reuse&view=order; None where nothing is."""
    pairs = parse_qsl(state, keep_blank_values=True)
    values = dict(pairs)
    for key in values:
        if key not in KEYS:
            return f"{key} is nothing the explorer knows; it knows {', '.join(KEYS)}"
    if "&".join(f"{key}={value}" for key, value in pairs) != state or "graph" not in values:
        return "write it as explorer.html#graph=NAME&view=NAME"
    if values["graph"] not in _graphs():
        return f"there is no graph {values['graph']}: choose one of {', '.join(_graphs())}"
    graph = _document(values["graph"])
    views = _views()
    if "view" in values:
        if values["view"] not in views:
            return f"there is no view {values['view']}: choose one of {', '.join(views)}"
        if not _has(graph, values["view"]):
            return f"the graph {values['graph']} has no view {values['view']}"
    steps = len(graph["steps"])
    if not (values.get("step", "0").isdecimal() and int(values.get("step", 0)) < steps):
        return f"the graph {values['graph']} has the steps 0 to {steps - 1}"
    keys = [tensor["key"] for tensor in graph["tensors"] if tensor.get("key")]
    if values.get("tensor", keys[0]) not in keys:
        return f"the graph {values['graph']} has no tensor {values['tensor']}"
    return None


@cache
def _graphs() -> tuple[str, ...]:
    """The names of the built-in graphs."""
    try:
        from tinygrad_llm.commands.explore import titles
    except ImportError as error:
        message = f"links into the explorer need the project ({error}): pip install -e '.[guide]'"
        raise GuideError(message) from None
    return tuple(titles())


@cache
def _document(name: str) -> dict[str, Any]:
    """A built-in graph as the page has it."""
    from tinygrad_llm.commands.explore import built_in

    return built_in(name)[0]


@cache
def _views() -> tuple[str, ...]:
    """The views of the page with the built-in graphs, read from its modules."""
    import autograd.debug.explorer

    found = set()
    for path in Path(autograd.debug.explorer.__file__).parent.glob("*.js"):
        text = path.read_text(encoding="utf-8")
        if re.search(r"export const \w+View = ", text):
            found |= set(re.findall(r'^  id: "(\w+)"', text, re.MULTILINE))
    return tuple(sorted(found - set(OF_A_MODEL)))


def _has(graph: dict[str, Any], view: str) -> bool:
    """Whether the page shows a view of a graph; see ``available`` in the views' modules."""
    if view == "attention":
        return any(step["op"].endswith("Attention") for step in graph["steps"])
    parts = {"card": "cards", "memory": "memory", "proof": "proof", "zoo": "bugs"}
    if view in parts:
        return bool(graph.get(parts[view]))
    if view == "order":
        return bool((graph.get("walks") or {}).get("examples"))
    if view == "loss":
        return bool((graph.get("loss_paths") or {}).get("calls"))
    if view == "optimizer":
        return bool((graph.get("optimizer") or {}).get("parameters"))
    return True
