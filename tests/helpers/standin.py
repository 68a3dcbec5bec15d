"""A stand-in for CuPy: arrays in main memory that behave as ``cupy.ndarray`` does.

Code written for NumPy fails on a GPU because of CuPy's rules. Its arrays refuse to become NumPy
arrays by themselves, refuse to meet NumPy arrays in an operator or a function, are never read-only,
and have fewer functions with fewer options; a reduction gives a 0-d array and not a number. All of
that is imitated here, so a test on these arrays finds such code without a GPU.

The names below are checked against CuPy itself where it is installed (tests/device). In two points
the stand-in is stricter than CuPy, which would hide a copy to the GPU at every use: NumPy arrays as
an index, and NumPy functions on its arrays.
"""

import operator
from types import SimpleNamespace

import numpy as np

DTYPES = "?bBhHiIlLqQefdFD"
"""The types CuPy has, as NumPy's characters: no long double, no objects, no text."""

UFUNCS = (
    "abs absolute add arccos arccosh arcsin arcsinh arctan arctan2 arctanh bitwise_and bitwise_or "
    "bitwise_xor ceil clip copysign cos cosh deg2rad divide equal exp exp2 expm1 fabs floor "
    "floor_divide fmax fmin fmod greater greater_equal hypot invert isfinite isinf isnan less "
    "less_equal log log10 log1p log2 logaddexp logaddexp2 logical_and logical_not logical_or "
    "maximum minimum mod multiply negative not_equal power reciprocal remainder rint sign signbit "
    "sin sinh sqrt square subtract tan tanh true_divide trunc"
).split()

FUNCTIONS = {
    "all": "axis keepdims", "any": "axis keepdims", "argmax": "axis keepdims",
    "argmin": "axis keepdims", "argsort": "axis kind", "ascontiguousarray": "dtype",
    "atleast_1d": "", "broadcast_to": "", "concatenate": "axis", "copy": "order",
    "count_nonzero": "axis", "cumprod": "axis", "cumsum": "axis", "diag": "k",
    "cross": "", "diagonal": "offset axis1 axis2", "dot": "", "einsum": "dtype optimize",
    "expand_dims": "axis", "flatnonzero": "", "flip": "axis", "isclose": "rtol atol equal_nan",
    "matmul": "", "max": "axis keepdims", "mean": "axis keepdims", "min": "axis keepdims",
    "moveaxis": "", "nan_to_num": "nan posinf neginf", "nonzero": "", "outer": "",
    "pad": "mode constant_values", "prod": "axis keepdims", "ravel": "", "repeat": "axis",
    "reshape": "", "roll": "axis", "round": "decimals", "searchsorted": "side", "sort": "axis",
    "split": "axis", "squeeze": "axis", "stack": "axis", "std": "axis ddof keepdims",
    "sum": "axis dtype keepdims", "swapaxes": "", "take": "axis", "take_along_axis": "axis",
    "tensordot": "axes", "tile": "", "trace": "offset axis1 axis2", "transpose": "axes",
    "tril": "k", "triu": "k", "var": "axis ddof keepdims", "vdot": "", "where": "",
}  # fmt: skip
"""Functions of arrays, with the keywords that the stand-in lets through."""

MAKERS = {
    "arange": "dtype", "empty": "dtype", "empty_like": "dtype", "eye": "dtype k",
    "full": "dtype", "full_like": "dtype", "identity": "dtype", "linspace": "endpoint dtype axis",
    "ones": "dtype", "ones_like": "dtype", "tri": "dtype", "zeros": "dtype", "zeros_like": "dtype",
}  # fmt: skip

LINALG = {
    "cholesky": "", "det": "", "eigh": "", "inv": "", "norm": "", "pinv": "", "qr": "",
    "slogdet": "", "solve": "", "svd": "full_matrices",
}  # fmt: skip

CONSTANTS = (
    "bool_ e euler_gamma finfo float16 float32 float64 iinfo inf int16 int32 int64 int8 intp nan "
    "newaxis pi result_type uint16 uint32 uint64 uint8 dtype"
).split()
"""What is the same thing in NumPy and CuPy."""

METHODS = (
    "all any argmax argmin astype copy cumprod cumsum diagonal dot fill flatten item max mean min "
    "nonzero prod ravel repeat reshape round searchsorted sort squeeze std sum swapaxes take "
    "tobytes tolist trace transpose var view"
).split()

BINARY = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift".split()
COMPARISONS = "lt le gt ge eq ne".split()


class ndarray:  # noqa: N801 (NumPy's and CuPy's name)
    """An array "on the device". Only ``get`` brings it back, and only ``asarray`` makes one."""

    __array_ufunc__ = None  # operators of NumPy arrays and numbers leave the work to ours

    def __init__(self, array):
        if array.dtype.char not in DTYPES:
            raise ValueError(f"Unsupported dtype {array.dtype}")
        self._array = array

    def get(self):
        return self._array.copy()

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __array_function__(self, function, types, args, kwargs):
        raise TypeError(f"np.{function.__name__} was called on an array that is not NumPy's")

    shape = property(lambda self: self._array.shape)
    ndim = property(lambda self: self._array.ndim)
    size = property(lambda self: self._array.size)
    dtype = property(lambda self: self._array.dtype)
    nbytes = property(lambda self: self._array.nbytes)
    itemsize = property(lambda self: self._array.itemsize)
    strides = property(lambda self: self._array.strides)
    T = property(lambda self: ndarray(self._array.T))
    base = property(lambda self: None if self._array.base is None else ndarray(self._array.base))

    @property
    def flags(self):
        own = self._array.flags
        return SimpleNamespace(
            c_contiguous=own.c_contiguous, f_contiguous=own.f_contiguous, owndata=own.owndata
        )  # and no "writeable", no "aligned"

    def __len__(self):
        return len(self._array)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __bool__(self):
        return bool(self._array)

    def __int__(self):
        return int(self._array)

    def __float__(self):
        return float(self._array)

    def __repr__(self):
        return f"standin.{self._array!r}"

    __hash__ = None

    def __getitem__(self, index):
        return _wrapped(self._array[_index(index)])

    def __setitem__(self, index, value):
        self._array[_index(index)] = _operand(value)

    def __neg__(self):
        return ndarray(-self._array)

    def __invert__(self):
        return ndarray(~self._array)

    def __abs__(self):
        return ndarray(abs(self._array))


def _operand(value):
    """What an operator may be given: our arrays and numbers. Others are refused as CuPy does."""
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, (bool, int, float, np.generic)):
        return value
    raise TypeError(f"Unsupported type {type(value)}")


def _argument(value):
    """An argument of a function: an operand, a sequence of them, or an option."""
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    if isinstance(value, ndarray):
        return value._array
    if isinstance(value, (tuple, list)):
        return type(value)(_argument(v) for v in value)
    return value


def _index(index):
    if isinstance(index, tuple):
        return tuple(_index(i) for i in index)
    return _argument(index)


def _wrapped(result):
    if isinstance(result, (np.ndarray, np.generic)):
        return ndarray(np.asarray(result))
    if isinstance(result, (tuple, list)):
        kind = list if isinstance(result, list) else tuple  # CuPy's are not named
        return kind(_wrapped(r) for r in result)
    return result


def _binary(name):
    compute = getattr(operator, name if name not in ("and", "or") else f"{name}_")

    def forward(self, other):
        if hasattr(other, "__array_ufunc__") and not isinstance(
            other, (ndarray, np.ndarray, np.generic)
        ):
            return NotImplemented  # a class that knows how to meet arrays
        return _wrapped(compute(self._array, _operand(other)))

    def reflected(self, other):
        return _wrapped(compute(_operand(other), self._array))

    def in_place(self, other):
        getattr(self._array, f"__i{name}__")(_operand(other))
        return self

    return forward, reflected, in_place


for _name in BINARY:
    _forward, _reflected, _in_place = _binary(_name)
    setattr(ndarray, f"__{_name}__", _forward)
    setattr(ndarray, f"__r{_name}__", _reflected)
    setattr(ndarray, f"__i{_name}__", _in_place)
for _name in COMPARISONS:
    setattr(ndarray, f"__{_name}__", _binary(_name)[0])


def _function(function, keywords=""):
    allowed = set(keywords.split())

    def call(*args, **kwargs):
        if kwargs.keys() - allowed:
            raise TypeError(f"{function.__name__} takes no {sorted(kwargs.keys() - allowed)} here")
        return _wrapped(
            function(*map(_argument, args), **{k: _argument(v) for k, v in kwargs.items()})
        )

    call.__name__ = function.__name__
    return call


def _method(name):
    def call(self, *args, **kwargs):
        method = getattr(self._array, name)
        return _wrapped(method(*map(_argument, args), **kwargs))

    return call


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))
ndarray.item = lambda self: self._array.item()


class Ufunc:
    """A function of numbers, which works on arrays element by element."""

    def __init__(self, function):
        self.call, self.function = _function(function, "dtype"), function

    def __call__(self, *args, **kwargs):
        return self.call(*args, **kwargs)

    def at(self, array, index, values):
        self.function.at(array._array, _index(index), _operand(values))


def _where(condition, x, y):
    condition.astype  # noqa: B018 (CuPy's takes no Python bool: it calls this method)
    return _function(np.where)(condition, x, y)


def _solve(a, b):
    if a.shape[:-2] != b.shape[:-2]:  # CuPy's does not broadcast them
        raise ValueError(f"Solve of shapes {a.shape} and {b.shape}")
    return _function(np.linalg.solve)(a, b)


def _asarray(value, dtype=None, order=None):
    """Copies from main memory; an array of ours of that type is returned as it is."""
    if isinstance(value, ndarray):
        return value if dtype is None or value.dtype == dtype else value.astype(dtype)
    return _array(value, dtype)


def _array(value, dtype=None, copy=True, order="K"):
    value = value._array if isinstance(value, ndarray) else value
    return ndarray(np.array(value, dtype=dtype, order=order))


namespace = SimpleNamespace(
    __name__="standin",
    ndarray=ndarray,
    array=_array,
    asarray=_asarray,
    linalg=SimpleNamespace(
        **{n: _function(getattr(np.linalg, n), keywords) for n, keywords in LINALG.items()}
        | {"solve": _solve}
    ),
    **{name: getattr(np, name) for name in CONSTANTS},
    **{name: Ufunc(getattr(np, name)) for name in UFUNCS},
    **{
        name: _function(getattr(np, name), keywords)
        for name, keywords in {**FUNCTIONS, **MAKERS}.items()
        if name != "where"
    },
    where=_where,
)
"""The module of these arrays, as ``cupy`` is that of ``cupy.ndarray``."""
