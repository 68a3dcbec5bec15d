"""Solutions to the exercises of 12_weight_file_by_hand.py."""

import numpy as np
from _solutions import answer, example_of

from tinygrad_llm.quantized.blocks import dequantize

lab = example_of(__file__)


def there_and_back(weights, to_block=lab.to_q4_0, name="Q4_0"):
    """Weights (N,), N a multiple of 32, as they come out of their blocks."""
    blocks = b"".join(to_block(block) for block in weights.reshape(-1, 32))
    return dequantize(np.frombuffer(blocks, np.uint8), name)


def rms(errors):
    return float(np.sqrt((errors**2).mean()))


def exercise_1():
    """The number that is missing.

    Four bits hold 16 numbers, -8 to 7 after the shift: eight steps down, and seven up. The scale is
    chosen so that the largest weight, with its sign, gets the -8. The other end of the range stops
    at 7 steps, so a weight of the same size and the other sign loses a whole step, an eighth of its
    value. Q8_0 divides by 127 and leaves -128 unused: symmetric, at the price of one number in 256,
    which 8 bits can afford and 4 bits cannot.
    """
    weights = np.linspace(-0.5, 0.5, 32, dtype=np.float32)
    weights[0], weights[31] = -1.0, 1.0
    for name, to_block in (("Q4_0", lab.to_q4_0), ("Q8_0", lab.to_q8_0)):
        back = there_and_back(weights, to_block, name)
        print(f"   {name}: -1 comes back as {back[0]:+.4f}, and +1 as {back[31]:+.4f}")
        assert (back[31] == -back[0]) == (name == "Q8_0")
        if name == "Q4_0":
            assert (back[0], back[31]) == (-1, 7 / 8)


def exercise_2():
    """One weight for all.

    The scale follows the largest weight. With one of 100 a step is 12.5, and every weight smaller
    than half of that becomes 0: all 31 neighbours are gone. In a block of 32 they are the only
    ones. That is why blocks are small, although each pays for its scale: with one scale for a whole
    row, one such weight would erase the row. Real models do have them.
    """
    weights = np.random.default_rng(0).standard_normal(64).astype(np.float32)
    weights[5] = 100.0
    back = there_and_back(weights)
    zeros = np.flatnonzero(back[:32] == 0)
    here, next_block = rms((back - weights)[:32]), rms((back - weights)[32:])
    print(f"   its block: {len(zeros)} of 31 others became 0; rms error {here:.2f}")
    print(f"   the next block: rms error {next_block:.2f}")
    assert len(zeros) == 31 and back[5] == 100 and next_block < 0.2 < here


def exercise_3():
    """A better scale.

    The largest weight need not be met exactly. Try scales a little smaller and larger, and keep
    the one with the smallest sum of squared errors: most weights are in the middle, and a smaller
    step serves them, while the largest is clipped. The file and its reader stay the same, since a
    block does not say how its scale was chosen. It is what makers of such files do, often with
    errors weighted by how much each weight matters.
    """

    def with_the_best_scale(weights):
        first = weights[np.argmax(np.abs(weights))] / -8
        candidates = []
        for factor in np.linspace(0.7, 1.1, 41):
            d = np.float16(first * factor)
            q = np.clip(np.round(weights / np.float32(d)) + 8, 0, 15)
            errors = np.float32(d) * (q - 8) - weights
            candidates.append(((errors**2).sum(), d, q.astype(np.uint8)))
        _, d, q = min(candidates, key=lambda c: c[0])
        return d.tobytes() + bytes(q[:16] | q[16:] << 4)

    weights = np.random.default_rng(0).standard_normal(1024).astype(np.float32)
    plain = rms(there_and_back(weights) - weights)
    better = rms(there_and_back(weights, with_the_best_scale) - weights)
    print(f"   rms error {plain:.4f}, and {better:.4f} with the best of 41 scales a block")
    assert better < 0.95 * plain


if __name__ == "__main__":
    answer(exercise_1, exercise_2, exercise_3)
