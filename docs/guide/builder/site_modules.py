"""Which modules the reference of the API shows, and which of their names.

Public is what a user imports: a module without an underscore, outside the folders below; in it the
names of ``__all__``, else those that the module itself defines and that have no underscore. A name
that a package only passes on is shown where it is defined, and listed in the package.
"""

import importlib
import pkgutil
import sys
import warnings
from collections.abc import Iterable

import pdoc.doc

from builder.problems import GuideError
from builder.progress import Progress

TOPS = ("autograd", "tinygrad_llm")
ENGINE = (
    "autograd", "autograd.backward", "autograd.debug", "autograd.device", "autograd.engine",
    "autograd.functional", "autograd.grad_mode", "autograd.ops", "autograd.reference",
    "autograd.testing",
)  # fmt: skip
"""The engine's public modules; its packages show the names of their files themselves."""
INTERNAL = {
    "tinygrad_llm.cli": "the command line, which --help explains",
    "tinygrad_llm.commands": "the command line, which --help explains",
    "tinygrad_llm.machine": "threads and signals of the command line",
    "tinygrad_llm.serve": "the insides of the HTTP server",
}
"""Modules of the language model that are left out with all below them, and why."""
EXTRAS = {"lm_eval": "lm-eval", "fastapi": "web", "tensorboardX": "tensorboard"}
"""Packages that a public module may need at import, and the extra that installs each."""


def public_names() -> list[str]:
    """The names of all public modules, sorted."""
    package = importlib.import_module("tinygrad_llm")
    modules = pkgutil.walk_packages(package.__path__, "tinygrad_llm.")
    found = [*ENGINE, "tinygrad_llm", *(each.name for each in modules if _is_public(each.name))]
    return sorted(found)


def read_modules(names: Iterable[str], progress: Progress) -> list[pdoc.doc.Module]:
    """The modules with some names. One that needs an absent extra is named and left out."""
    modules = []
    for name in names:
        try:
            modules.append(pdoc.doc.Module(importlib.import_module(name)))
        except ModuleNotFoundError as error:
            missing = (error.name or "").partition(".")[0]
            if missing not in EXTRAS:
                raise GuideError(f"the reference of {name} needs {missing}: {error}") from None
            progress.say(f"API: {name} is left out: it needs the extra {EXTRAS[missing]!r}")
    return modules


def members_of(module: pdoc.doc.Module) -> list[pdoc.doc.Doc]:
    """A module's public names, in the order of its text."""
    with warnings.catch_warnings():
        # annotations that are imported for type checkers alone stay text, which is what is shown
        warnings.simplefilter("ignore", UserWarning)
        found = [member for member in module.members.values() if _is_shown(member)]
    if hasattr(module.obj, "__all__"):
        return found
    return [each for each in found if not _is_imported(each, module.modulename)]


def is_defined_here(member: pdoc.doc.Doc, module: str, shown: set[str]) -> bool:
    """Whether a name is explained on this page: no other shows it where it is made."""
    origin = getattr(member.obj, "__module__", module) if _has_origin(member) else module
    return origin == module or origin not in shown


def parts_of(owner: pdoc.doc.Class, shown: set[str]) -> list[pdoc.doc.Doc]:
    """The public parts of a class: its own, and those from private modules of the project.

    Tensor has its methods from autograd._methods, which no page of its own explains.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        found = list(owner.own_members)
        for (module, _), members in owner.inherited_members.items():
            if module.partition(".")[0] in TOPS and module not in shown:
                found += members
    return [part for part in found if _is_shown(part)]


def _is_public(name: str) -> bool:
    if any(part.startswith("_") for part in name.split(".")):
        return False
    return not any(f"{name}.".startswith(f"{internal}.") for internal in INTERNAL)


def _is_shown(member: pdoc.doc.Doc) -> bool:
    if member.name in ("__init__", "__call__"):
        return bool(member.docstring) or member.name == "__init__"
    if member.name.startswith("_") or isinstance(member, pdoc.doc.Module):
        return False
    if isinstance(member, pdoc.doc.Variable):
        return bool(member.docstring or member.annotation_str)
    return True


def _has_origin(member: pdoc.doc.Doc) -> bool:
    return isinstance(member, pdoc.doc.Class | pdoc.doc.Function)


def _is_imported(member: pdoc.doc.Doc, module: str) -> bool:
    origin = getattr(member.obj, "__module__", module) if _has_origin(member) else module
    return bool(origin != module and origin in sys.modules)
