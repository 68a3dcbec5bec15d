"""Nested tuples, lists and dicts of arrays: taken apart into leaves, and put together again.

A model's parameters come as a dict of lists of arrays, or however else the user keeps them, and
their gradients should come back the same way. A tree is a leaf, or a tuple, named tuple, list or
dict of trees; None is a tree without leaves. ``flatten`` separates what is in a tree from how it is
built. JAX calls this a pytree.
"""


class Structure:
    """How a tree is built: the tree without its leaves."""

    def __init__(self, kind, keys=(), children=()):
        self.kind, self.keys, self.children = kind, keys, children

    def build(self, leaves):
        """The tree of this structure with ``leaves`` (any objects) in their places."""
        return self._build(iter(leaves))

    def _build(self, leaves):
        if self.kind is None:
            return next(leaves)
        children = [child._build(leaves) for child in self.children]
        if self.kind is type(None):
            return None
        if self.kind is dict:
            return dict(zip(self.keys, children, strict=True))
        if hasattr(self.kind, "_fields"):  # a named tuple
            return self.kind(*children)
        return self.kind(children)

    def paths(self, start=""):
        """Where each leaf is, as one would write it: "['weights'][0]"."""
        if self.kind is None:
            return [start]
        pairs = zip(self.keys, self.children, strict=True)
        return [path for key, child in pairs for path in child.paths(f"{start}[{key!r}]")]

    def leaves_of(self, tree, what):
        """The leaves of another tree that must be built like this one, in this one's order.

        The order of a dict's keys makes no difference. Raises ValueError, with ``what`` for the
        name of the tree, where the two are built differently.
        """
        leaves: list = []
        self._collect(tree, what, leaves)
        return leaves

    def _collect(self, tree, what, leaves):
        found = _structure(tree, [])
        if found.kind is not self.kind:
            raise ValueError(f"{what} is {found}, expected {self}")
        if self.kind is None:
            leaves.append(tree)
            return
        if set(found.keys) != set(self.keys):
            raise ValueError(f"{what} is {found}, expected {self}")
        for key, child in zip(self.keys, self.children, strict=True):
            part = tree[key] if self.kind is not type(None) else None
            child._collect(part, f"{what}[{key!r}]", leaves)

    def __str__(self):
        if self.kind is None:
            return "an array"
        if self.kind is type(None):
            return "None"
        if self.kind is dict:
            return f"a dict with the keys {', '.join(map(repr, self.keys)) or '(none)'}"
        return f"a {self.kind.__name__} of length {len(self.keys)}"


_LEAF = Structure(None)


def flatten(tree):
    """The leaves of ``tree``, in order, and its Structure."""
    leaves: list = []
    structure = _structure(tree, leaves)
    return leaves, structure


def _structure(tree, leaves):
    kind = type(tree)
    if tree is None:
        return Structure(kind)
    if isinstance(tree, dict):  # a subclass comes back as a plain dict
        kind, keys, children = dict, tuple(tree), tuple(tree.values())
    elif isinstance(tree, (tuple, list)):
        keys, children = tuple(range(len(tree))), tuple(tree)
    else:
        leaves.append(tree)
        return _LEAF
    return Structure(kind, keys, tuple([_structure(child, leaves) for child in children]))
