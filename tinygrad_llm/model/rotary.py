"""The frequencies of rotary position embedding, with the scalings that long contexts use.

``ops.rope`` turns pair j of a query's channels by position times omega_j. The frequencies are those
of Su et al. (2021), omega_j = base^(-2 j / R) for j = 0 to R/2 - 1. A model that was trained on
short texts can read longer ones if its slow pairs turn more slowly still: then no angle is beyond
those of its training. A config.json says how, in ``rope_parameters`` or ``rope_scaling``:

    linear    every frequency divided by ``factor`` (Chen et al. 2023)
    llama3    the slow ones divided, the fast ones not, a ramp in between (Llama 3.1)
    yarn      the same with another ramp, and cos and sin times an attention factor, which makes the
              softmax sharper (Peng et al. 2023)
"""

import math

import numpy as np

SCALINGS = ("default", "linear", "llama3", "yarn")


def frequencies(n_channels, base=10000.0, scaling=None):
    """(omega, attention factor): ``n_channels`` / 2 angles per position, float64, and a number.

    ``n_channels`` is the number R of channels of a head that are turned. ``scaling`` is None, or a
    dict with the keys of a config.json: ``rope_type`` (or ``type``), one of SCALINGS, ``factor``
    and, for llama3 and yarn, ``original_max_position_embeddings``, the longest text in training;
    for llama3 ``low_freq_factor`` and ``high_freq_factor``; for yarn, all optional, ``beta_fast``,
    ``beta_slow``, ``attention_factor``, ``mscale``, ``mscale_all_dim`` and ``truncate``.

    Raises ValueError for another type, for a key that is missing or is no number above 0, for an
    odd number of channels, and for numbers with which yarn's ramp cannot be computed.
    """
    if n_channels < 0 or n_channels % 2:
        raise ValueError(f"rotary embedding turns pairs of channels, but there are {n_channels}")
    omega = float(base) ** -(np.arange(0, n_channels, 2) / max(1, n_channels))  # (R/2,)
    scaling = scaling or {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return omega, 1.0
    if kind not in SCALINGS:
        raise ValueError(
            f"rotary scaling {kind!r} is not supported: supported are {', '.join(SCALINGS)}"
        )
    factor = _number(scaling, kind, "factor")
    if kind == "linear":
        return omega / factor, 1.0
    longest = _number(scaling, kind, "original_max_position_embeddings")
    if kind == "llama3":
        return _llama3(omega, factor, longest, scaling), 1.0
    return _yarn(omega, base, factor, longest, scaling), _attention_factor(factor, scaling)


def cos_sin(positions, omega, attention_factor=1.0, dtype=np.float32):
    """The tables of ``ops.rope``: cos and sin (..., R/2) of positions (...) times omega (R/2,).

    Angles are computed in float64: in float32, those of late positions have lost their digits. Both
    are multiplied by ``attention_factor``.
    """
    angles = np.asarray(positions, np.float64)[..., None] * omega  # (..., R/2)
    return tuple((f(angles) * attention_factor).astype(dtype) for f in (np.cos, np.sin))


def _number(scaling, kind, key, default=None):
    value = default if scaling.get(key) is None else scaling[key]
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value < math.inf:
        raise ValueError(
            f"rotary scaling {kind!r} needs {key}, a number above 0, and it is {value!r}"
        )
    return value


def _llama3(omega, factor, longest, scaling):
    """omega where the longest text has many turns, omega / factor where it has few.

    The turns are those that a pair makes within the longest text of training: from
    ``high_freq_factor`` on a frequency stays, up to ``low_freq_factor`` it is divided.
    """
    low = _number(scaling, "llama3", "low_freq_factor")
    high = _number(scaling, "llama3", "high_freq_factor")
    if not low < high:
        raise ValueError(
            f"rotary scaling 'llama3' needs low_freq_factor {low} below high_freq_factor {high}"
        )
    turns = longest * omega / (2 * math.pi)
    stays = np.clip((turns - low) / (high - low), 0, 1)
    return stays * omega + (1 - stays) * omega / factor


def _yarn(omega, base, factor, longest, scaling):
    """The same with a ramp over j instead of the turns.

    It falls from 1, at the pair with ``beta_fast`` turns, to 0, at the pair with ``beta_slow``.
    """
    R = 2 * len(omega)
    if not 1 < base < math.inf:
        raise ValueError(f"rotary scaling 'yarn' needs a rope_theta above 1, and it is {base}")

    def pair_with(turns):
        """The j, a real number, for which longest omega_j / (2 pi) = turns."""
        ratio = longest / (turns * 2 * math.pi)
        if not 0 < ratio < math.inf:
            raise ValueError(
                f"rotary scaling 'yarn' cannot compare {turns} turns with texts of {longest} tokens"
            )
        return R * math.log(ratio) / (2 * math.log(base))

    first = pair_with(_number(scaling, "yarn", "beta_fast", 32))
    last = pair_with(_number(scaling, "yarn", "beta_slow", 1))
    if scaling.get("truncate", True):
        first, last = math.floor(first), math.ceil(last)
    first, last = max(first, 0), min(last, R - 1)
    last = last if last != first else first + 0.001
    divided = np.clip((np.arange(R // 2) - first) / (last - first), 0, 1)
    return (1 - divided) * omega + divided * omega / factor


def _attention_factor(factor, scaling):
    """What cos and sin are multiplied by: 0.1 ln(factor) + 1, unless the file says otherwise."""
    if scaling.get("attention_factor") is not None:
        return float(_number(scaling, "yarn", "attention_factor"))

    def magnitude(weight):
        return 1.0 if factor <= 1 else 0.1 * weight * math.log(factor) + 1.0

    if scaling.get("mscale") and scaling.get("mscale_all_dim"):
        above, below = (_number(scaling, "yarn", key) for key in ("mscale", "mscale_all_dim"))
        return magnitude(above) / magnitude(below)
    return magnitude(1)
