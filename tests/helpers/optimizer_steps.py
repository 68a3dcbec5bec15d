"""Steps of an optimizer with random gradients, and whether its saved state continues them."""

import numpy as np

from autograd import Tensor


def set_gradients(params, rng):
    for p in params.values():
        p.grad = Tensor(np.asarray(rng.normal(size=p.shape), dtype=p.dtype))


def check_continuation(parameters, make, seed=4):
    """Six steps, and the same with a new optimizer after three, end with the same bits.

    parameters() makes the parameters by name, and make(items) an optimizer of them.
    """

    def run(stop):
        params, rng = parameters(), np.random.default_rng(seed)
        optimizer = make(params.items())
        for step in range(6):
            if step == stop:
                state = {k: v.copy() for k, v in optimizer.state_dict().items()}
                optimizer = make(params.items())
                optimizer.load_state_dict(state)
                for array in state.values():
                    array.fill(7)  # it was copied
            set_gradients(params, rng)
            optimizer.step()
        return params

    whole, resumed = run(stop=None), run(stop=3)
    for name in whole:
        assert whole[name].data.tobytes() == resumed[name].data.tobytes()
