"""What a recorded loss keeps for backward."""


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
        for array in (*node.saved, *cache):
            if array is None:
                continue
            while array.base is not None:
                array = array.base
            if id(array) not in own:
                arrays[id(array)] = array.nbytes
    return sum(arrays.values())
