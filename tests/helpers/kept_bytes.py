"""What a recorded loss keeps for backward."""

from autograd.saved_tensors import PackedValues, arrays_kept


def kept_bytes(loss, model):
    """Bytes of the distinct arrays that a recorded graph holds on to, parameters aside."""
    own = {id(p.data) for p in model.parameters()}
    arrays, seen, todo = {}, set(), [loss._node]
    while todo:
        node = todo.pop()
        if node is None or node in seen or not getattr(node, "inputs", ()):
            continue
        seen.add(node)
        todo += node.inputs
        cache = node.cache if isinstance(node.cache, tuple) else (node.cache,)
        saved = node.saved.kept if isinstance(node.saved, PackedValues) else node.saved
        for array in (a for value in (*saved, *cache) for a in arrays_kept(value)):
            while array.base is not None:
                array = array.base
            if id(array) not in own:
                arrays[id(array)] = array.nbytes
    return sum(arrays.values())
