"""Nested tuples, lists and dicts of arrays: flattened into their leaves, and rebuilt.

A model's parameters may be a dict of lists of arrays, or any other structure, and their gradients
should have the same one. A tree is a leaf, or a tuple, named tuple, list or dict of trees; None is
a tree without leaves. ``flatten`` separates the leaves of a tree from its structure. JAX calls this
a pytree.
"""


class Structure:
    """The structure of a tree: the tree without its leaves."""

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
        """Where each leaf is, as Python would index it: "['weights'][0]"."""
        if self.kind is None:
            return [start]
        pairs = zip(self.keys, self.children, strict=True)
        return [path for key, child in pairs for path in child.paths(f"{start}[{key!r}]")]

    def leaves_of(self, tree, what):
        """The leaves of another tree, which must have this structure, in this one's order.

        The order of a dict's keys makes no difference. Raises ValueError, in which ``what`` names
        the tree, if the structures differ.
        """
        leaves: list = []
        self._collect(tree, what, leaves)
        return leaves

    def _collect(self, tree, what, leaves):
        other = _structure(tree, [])
        if other.kind is not self.kind:
            raise ValueError(f"{what} is {other}, expected {self}")
        if self.kind is None:
            leaves.append(tree)
            return
        if set(other.keys) != set(self.keys):
            raise ValueError(f"{what} is {other}, expected {self}")
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
