"""GPT-2's initialisation (Radford et al. 2019, section 2.3), from one random generator.

Every weight is drawn from N(0, 0.02^2), biases are 0, layer normalization begins as the identity.
One correction: each block adds two terms to the residual stream, one from attention and one from
the MLP, so after L blocks it is a sum of 2 L terms. Their last projections are drawn with standard
deviation 0.02 / sqrt(2 L), and the stream's variance does not grow with depth.

OpenAI's code draws the position table with 0.01. Hugging Face and nanoGPT use 0.02 for it as for
everything else, and so do we.
"""

import math

import numpy as np

STD = 0.02


def normal_(parameter, std, rng):
    """Overwrite ``parameter`` with draws from N(0, std^2), made in float32."""
    draws = rng.standard_normal(parameter.shape, dtype=np.float32)
    draws *= np.float32(std)
    parameter.assign_(draws)


def gpt2_(model, rng):
    """Initialise all parameters of a GPT, in the order of ``named_parameters``.

    ``model.config.n_layer`` scales the residual projections, recognised by their name, c_proj.
    """
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.assign_(np.zeros(parameter.shape, np.float32))
        elif parameter.ndim == 1:  # the scale of a layer normalization
            parameter.assign_(np.ones(parameter.shape, np.float32))
        elif name.endswith("c_proj.weight"):
            normal_(parameter, STD / math.sqrt(2 * model.config.n_layer), rng)
        else:
            normal_(parameter, STD, rng)
