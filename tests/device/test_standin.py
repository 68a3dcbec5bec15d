"""The stand-in is as strict as CuPy, and offers nothing that CuPy does not have."""

import inspect
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import standin

from autograd import Tensor, device as devices
from autograd.device import DeviceError, namespace, namespace_on, register

xp = standin.namespace


def array(*values):
    return xp.asarray(np.array(values))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda a: np.asarray(a),
        lambda a: np.exp(a),
        lambda a: np.isfinite(a),
        lambda a: np.shape(a),
        lambda a: np.sum(a),
        lambda a: np.ones(2) * a,
        lambda a: a * np.ones(2),
        lambda a: a + np.array(1.0),
        lambda a: a * [1.0, 2.0],
        lambda a: a < np.ones(2),
        lambda a: a.__iadd__(np.ones(2)),
        lambda a: a.__setitem__(..., np.ones(2)),
        lambda a: a[np.array([0])],
        lambda a: xp.exp(np.ones(2)),
        lambda a: xp.concatenate([a, np.ones(2)]),
        lambda a: xp.add.at(a, array(0), np.ones(1)),
        lambda a: xp.max(a, initial=0.0),
        lambda a: xp.sum(a, where=a > 0),
        lambda a: xp.asarray(np.ones(2, np.longdouble)),
    ],
)
def test_it_refuses_what_cupy_refuses(mistake):
    with pytest.raises((TypeError, ValueError)):
        mistake(array(1.0, 2.0))


@pytest.mark.parametrize(
    "mistake",
    [
        lambda a: a.flags.writeable,
        lambda a: a.flags.aligned,
        lambda a: xp.where(True, a, 0),
        lambda a: xp.erf,
        lambda a: xp.random,
        lambda a: a.data,
    ],
)
def test_it_lacks_what_cupy_lacks(mistake):
    with pytest.raises(AttributeError):
        mistake(array(1.0, 2.0))


def test_it_computes_as_numpy_does():
    a, b = array(1.0, -2.0), array(3.0, 4.0)
    np.testing.assert_array_equal((2 - a * b / np.float64(2)).get(), [0.5, 6])
    np.testing.assert_array_equal((a @ b).get(), -5)
    assert isinstance(xp.sum(a), standin.ndarray) and xp.sum(a).shape == ()
    assert isinstance(a[0], standin.ndarray) and isinstance(a.max(), standin.ndarray)
    a += b
    np.testing.assert_array_equal(a.get(), [4, 2])
    xp.add.at(a, array(0, 0), 1.0)
    np.testing.assert_array_equal(a.get(), [6, 2])
    assert a[1:].base is not None and a.copy().base is None


def test_up_and_down_are_copies():
    here = np.ones(2)
    there = xp.asarray(here)
    here[0] = 5
    back = there.get()
    back[1] = 7
    np.testing.assert_array_equal(there.get(), [1, 1])


def test_cupy_has_every_name():
    cupy = pytest.importorskip("cupy", reason="the stand-in's names are compared with CuPy's")
    functions = {**standin.FUNCTIONS, **standin.MAKERS, **dict.fromkeys(standin.UFUNCS, "")}
    for name, keywords in functions.items():
        function = getattr(cupy, name)
        if keywords and not isinstance(function, cupy.ufunc):
            known = inspect.signature(function).parameters
            takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
            assert takes_any or set(keywords.split()) <= set(known), name
    for name in standin.LINALG:
        assert callable(getattr(cupy.linalg, name))
    for name in standin.CONSTANTS:
        assert hasattr(cupy, name), name
    for name in standin.METHODS:
        assert callable(getattr(cupy.ndarray, name)), name
    assert callable(cupy.add.at)
    assert "initial" not in inspect.signature(cupy.max).parameters


# --- devices --------------------------------------------------------------------------------------


@pytest.fixture
def no_cuda(monkeypatch):
    """As if the device cuda had not been asked for yet."""
    monkeypatch.setattr(devices, "_devices", {"cpu": devices.numpy_namespace})
    monkeypatch.setattr(devices, "namespaces", dict(devices.namespaces))


def test_cupy_is_not_installed(no_cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    with pytest.raises(DeviceError, match="needs CuPy, which is not installed: .* gpu-cuda12"):
        Tensor([1.0]).to("cuda")


class FakeError(Exception):
    pass


def fake_cupy(count):
    """A module that answers as CuPy does when there are ``count`` GPUs, or no driver (None)."""

    def get_device_count():
        if count is None:
            raise FakeError("cudaErrorNoDevice: no CUDA-capable device is detected")
        return count

    runtime = SimpleNamespace(getDeviceCount=get_device_count, CUDARuntimeError=FakeError)
    module = ModuleType("cupy")
    module.__dict__.update(vars(xp), __version__="14.0", cuda=SimpleNamespace(runtime=runtime))
    module.__name__ = "cupy"
    return module


@pytest.mark.parametrize("count, reason", [(None, "cudaErrorNoDevice"), (0, "there is none")])
def test_there_is_no_gpu(no_cuda, monkeypatch, count, reason):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(count))
    with pytest.raises(DeviceError, match=rf"finds no CUDA GPU \({reason}.* nvidia-smi"):
        Tensor([1.0]).to("cuda")


def test_cupy_is_registered_when_its_device_is_asked_for(no_cuda, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", fake_cupy(1))
    x = Tensor([1.0]).to("cuda")
    assert x.device == "cuda" and namespace(x.data).name == "cupy" and (x + 1).item() == 2


def test_an_unknown_device():
    with pytest.raises(DeviceError, match="no device 'tpu': choose one of cpu, cuda"):
        Tensor([1.0]).to("tpu")


def test_a_library_of_ones_own(no_cuda):
    class Box(standin.ndarray):
        pass

    namespace_of_box = register(Box, xp, "box", to_numpy=lambda box: box.get() + 0.5)
    assert namespace_on("box") is namespace_of_box
    assert Tensor(Box(np.ones(1))).numpy() == 1.5
    with pytest.raises(ValueError, match="'box' is already registered for standin"):
        register(standin.ndarray, xp, "box")
    with pytest.raises(TypeError, match="no array library is registered for .*Unknown"):
        namespace(type("Unknown", (), {})())
