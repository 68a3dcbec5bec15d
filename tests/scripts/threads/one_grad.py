"""Two threads add into the same .grad, dense and by rows.

The arrays are so large that NumPy lets another thread run in the middle of an addition.
"""

import numpy as np
from together import together

from autograd import Parameter, ops

w, table = Parameter(np.zeros(200_000)), Parameter(np.zeros((5000, 8)))
ids = np.arange(5000)


def work():
    for _ in range(100):
        ((w * 1.0).sum() + ops.embedding(table, ids).sum()).backward()


together(work, work)
np.testing.assert_array_equal(w.grad.data, np.full(200_000, 200.0))
np.testing.assert_array_equal(table.grad.data, np.full((5000, 8), 200.0))
print("done")
