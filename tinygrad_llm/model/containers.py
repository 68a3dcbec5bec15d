"""ModuleList, Sequential and ModuleDict: modules that hold others, as PyTorch's do.

A Module finds what is in its plain lists and dicts too. These have what those lack: a ``forward``
(Sequential), a line of their own in ``repr``, and an error for what is not a module.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Self

from autograd import Tensor
from tinygrad_llm.model.module import Module, is_a_name


class _Row(Module):
    """Members in a row, which are the attributes "0", "1", ..."""

    def _check(self, member: Any) -> None:
        """Raise TypeError for what cannot be a member."""
        if not isinstance(member, Module):
            raise TypeError(f"a {type(self).__name__} holds modules, not {type(member).__name__}")

    @property
    def _row(self) -> list[Any]:
        return [value for name, value in vars(self).items() if name.isdecimal()]

    def _set_row(self, members: Iterable[Any]) -> None:
        members = list(members)
        for member in members:
            self._check(member)
        for name in [name for name in vars(self) if name.isdecimal()]:
            delattr(self, name)
        for number, member in enumerate(members):
            setattr(self, str(number), member)

    def append(self, member: Any) -> Self:
        """Add a member at the end. Returns self."""
        self._check(member)
        setattr(self, str(len(self)), member)
        return self

    def extend(self, members: Iterable[Any]) -> Self:
        """Add several members at the end. Returns self."""
        for member in list(members):
            self.append(member)
        return self

    def insert(self, index: int, member: Any) -> None:
        """Add a member before the one at ``index``; those after it get other names."""
        row = self._row
        row.insert(index, member)
        self._set_row(row)

    def __len__(self) -> int:
        return len(self._row)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._row)

    def __setitem__(self, index: int, member: Any) -> None:
        row = self._row
        row[index] = member
        self._set_row(row)

    def __delitem__(self, index: int | slice) -> None:
        row = self._row
        del row[index]
        self._set_row(row)


class ModuleList(_Row):
    """A list of modules: iterate over it, or index it, in ``forward``."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        found = self._row[index]
        return ModuleList(found) if isinstance(index, slice) else found


class Sequential(_Row):
    """Steps one after the other: ``Sequential(f, g)(x)`` is g(f(x)).

    A step is a module, or a function from a Tensor to a Tensor without parameters:

        Sequential(Linear(2, 16), ops.tanh, Linear(16, 1))
    """

    def __init__(self, *steps: Module | Callable[[Any], Any]) -> None:
        self.extend(steps)

    def _check(self, member: Any) -> None:
        if isinstance(member, type):
            raise TypeError(
                f"a step of Sequential is the class {member.__name__}: make a module of it, "
                f"{member.__name__}(...)"
            )
        if not callable(member):
            advice = ": write Sequential(*steps)" if isinstance(member, list | tuple) else ""
            raise TypeError(
                f"a step of Sequential is a {type(member).__name__}, expected modules or functions "
                f"of one Tensor{advice}"
            )

    def __getitem__(self, index: int | slice) -> Any:
        found = self._row[index]
        return Sequential(*found) if isinstance(index, slice) else found

    def _shown(self) -> list[tuple[str, Any]]:
        return [(str(number), step) for number, step in enumerate(self._row)]

    def forward(self, x: Any) -> Tensor:
        for step in self._row:
            x = step(x)
        return x


class ModuleDict(Module):
    """Modules by name. A name is a string without a dot, and not a method's name."""

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] = ()) -> None:
        self.update(modules)

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or replace those of the same name."""
        for name, module in dict(modules).items():
            self[name] = module

    def __setitem__(self, name: str, module: Module) -> None:
        if not isinstance(module, Module):
            raise TypeError(f"a ModuleDict holds modules, not {type(module).__name__}")
        if not isinstance(name, str) or not is_a_name(name) or hasattr(type(self), name):
            raise ValueError(
                f"{name!r} cannot name a module: expected a string without a dot that is not an "
                "attribute of ModuleDict"
            )
        setattr(self, name, module)

    def __getitem__(self, name: str) -> Any:
        return dict(self.named_children())[name]

    def __delitem__(self, name: str) -> None:
        self.pop(name)

    def pop(self, name: str) -> Module:
        """Remove a module and return it. Raises KeyError if there is none of this name."""
        module = self[name]
        delattr(self, name)
        return module

    def __contains__(self, name: object) -> bool:
        return name in dict(self.named_children())

    def __len__(self) -> int:
        return len(self.named_children())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def keys(self) -> list[str]:
        return [name for name, _ in self.named_children()]

    def values(self) -> list[Module]:
        return [module for _, module in self.named_children()]

    def items(self) -> list[tuple[str, Module]]:
        return self.named_children()
