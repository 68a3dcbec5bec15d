"""Two threads run a network each, and get the same bits as one thread alone."""

import numpy as np
from network import network
from together import together

alone = {seed: network(seed) for seed in (1, 2)}


def repeat(seed):
    for _ in range(8):
        for a, b in zip(network(seed), alone[seed], strict=True):
            np.testing.assert_array_equal(a, b)


together(lambda: repeat(1), lambda: repeat(2))
print("done")
