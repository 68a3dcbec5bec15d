"""The instructions of products: which a processor has, and the code for those that it lacks."""

import ctypes
import re
from types import SimpleNamespace

import numpy as np
import pytest
from llvmlite import binding, ir
from products import check, normal

from autograd._bfloat16 import from_bf16, rounded, to_bf16
from autograd.device import numpy_namespace
from autograd.kernels import _processor, product
from autograd.kernels.product import block, choice, cpu

# --- the processor --------------------------------------------------------------------------------

AVX512 = {"avx512f": True, "avx512bf16": True}


@pytest.mark.parametrize(
    "features, intel, granted, bf16, float32, why",
    [
        ({}, True, False, None, None, "no instructions for bf16"),
        ({"avx512f": True}, True, False, None, None, "no instructions"),
        (AVX512, False, False, "avx512-bf16", "float32", None),
        (AVX512, True, False, None, "float32", "half as many operations"),
        ({**AVX512, "amx-bf16": True}, True, True, "amx", "float32", None),
        ({**AVX512, "amx-bf16": True}, True, False, None, "float32", "not grant"),
    ],
)  # fmt: skip
def test_the_instructions_of_a_processor(monkeypatch, features, intel, granted, bf16, float32, why):
    fakes = {"features": features, "is_intel": intel, "tiles_granted": granted}
    for name, value in fakes.items():
        monkeypatch.setattr(_processor, name, lambda value=value: value)
    choice.method.cache_clear()
    try:
        assert (product.method(), product.method("float32")) == (bf16, float32)
        assert product.why_not() is None if why is None else why in product.why_not()
    finally:
        choice.method.cache_clear()


@pytest.mark.parametrize(
    "chosen, ours",
    [("auto", [True, False, False]), ("kernel", [True, True, False]), ("numpy", [False] * 3)],
)
def test_which_float32_products_are_blas(monkeypatch, chosen, ours):
    monkeypatch.setenv("TINYGRAD_LLM_BLAS", chosen)
    for module in (choice, cpu):
        monkeypatch.setattr(module, "method", {"float32": "float32", "bf16": "amx"}.get)
    sizes = [(2048, 4096, 2048), (2048, 384, 2049), (10**6, 63, 64)]  # the last: too narrow
    found = [cpu._instructions(*size, np.float32, "float32") for size in sizes]
    assert [f == "float32" for f in found] == ours
    assert cpu._instructions(*sizes[2], np.float32, "bf16") == "amx"
    assert cpu._instructions(*sizes[0], np.float64, "bf16") is None


def test_without_instructions_rounded_operands_are_multiplied(monkeypatch):
    monkeypatch.setattr(cpu, "method", lambda precision: None)
    a, b, bias = normal(20, 30), normal(30, 40, seed=1), normal(40, seed=2)
    found = product.product(numpy_namespace, a, b, bias, "bf16")
    check(found, a, b, "bf16", bias)
    np.testing.assert_allclose(found, rounded(np, a) @ rounded(np, b) + bias, rtol=1e-4, atol=1e-5)


def test_processors_tell_the_sizes_of_their_caches(monkeypatch, tmp_path):
    cache_bytes = _processor.cache_bytes.__wrapped__
    files = {
        "index0": ("Data", "1", "48K"), "index1": ("Instruction", "1", "32K"),
        "index2": ("Unified", "2", "2M"), "index3": ("Unified", "3", "much"),
    }  # fmt: skip
    for folder, lines in files.items():
        (tmp_path / folder).mkdir()
        for name, line in zip(("type", "level", "size"), lines, strict=True):
            (tmp_path / folder / name).write_text(line + "\n")
    monkeypatch.setattr(_processor, "CACHES", tmp_path)
    assert [cache_bytes(1), cache_bytes(2)] == [48 << 10, 2 << 20]
    assert cache_bytes(3) == _processor.DEFAULT_CACHE_BYTES[3]
    monkeypatch.setattr(_processor, "CACHES", tmp_path / "none")
    assert cache_bytes(1) == _processor.DEFAULT_CACHE_BYTES[1]


# --- what cannot be run everywhere ----------------------------------------------------------------


def packed_panels(x):
    """Panels (panels, steps, 2, 16, 32) of A (M, K), by NumPy, as bf16: a tile's rows are A's."""
    panels, steps = -(-len(x) // 32), -(-x.shape[1] // 32)
    padded = np.zeros((32 * panels, 32 * steps), np.float32)
    padded[: len(x), : x.shape[1]] = x
    return to_bf16(np, padded).reshape(panels, 2, 16, steps, 32).transpose(0, 3, 1, 2, 4)


def turned(tiles):
    """Tiles of B from those of B^T: elements, pairs of numbers, change rows and columns."""
    return np.ascontiguousarray(tiles).view(np.uint32).swapaxes(-1, -2).copy().view(np.uint16)


@pytest.mark.skipif(product.method() is None, reason="no instructions for bf16 products here")
def test_panels_are_packed_as_drawn():
    b = normal(45, 70)
    expected = turned(packed_panels(b.T))
    for lies in (b, np.asfortranarray(b)):
        found = cpu.pack(lies, product.method())
        assert found.shape == b.shape
        np.testing.assert_array_equal(found.memory.view(np.uint16), expected.reshape(-1))


def compiled(generate, kind=None):
    """A block's multiplication in LLVM's language: a function of eight addresses and numbers."""
    module = ir.Module()
    words = [ir.IntType(64)] * 8
    function = ir.Function(module, ir.FunctionType(ir.VoidType(), words), "multiply")
    builder = ir.IRBuilder(function.append_basic_block())
    context = SimpleNamespace(get_dummy_value=lambda: None)
    signature = SimpleNamespace(args=[SimpleNamespace(dtype=kind)])
    generate(context, builder, signature, [None, *function.args])
    builder.ret_void()
    return str(module)


def assembly(text, processor, features):
    """The same for a processor that this machine need not have."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    try:
        target = binding.Target.from_triple("x86_64-unknown-linux-gnu")
    except RuntimeError:
        pytest.skip("this LLVM compiles for no x86 processor")
    machine = target.create_target_machine(cpu=processor, features=features, opt=3)
    return machine.emit_assembly(binding.parse_assembly(text))


class Tiles:
    """The eight tile registers, and their instructions as Intel describes them."""

    def __init__(self):
        self.registers = np.zeros((8, 16, 16), np.uint32)

    def tileloadd64(self, register, address, stride):
        for i, row in enumerate(self.registers[register]):
            ctypes.memmove(row.ctypes.data, address + i * stride, 64)

    def tilestored64(self, register, address, stride):
        for i, row in enumerate(self.registers[register]):
            ctypes.memmove(address + i * stride, row.ctypes.data, 64)

    def tdpbf16ps(self, c, a, b):
        pairs = [from_bf16(self.registers[r].view(np.uint16)).reshape(16, 16, 2) for r in (a, b)]
        sums = np.zeros((16, 16, 2), np.float32)  # the even and the odd products by themselves
        for k in range(16):
            sums += pairs[0][:, k, None] * pairs[1][None, k]
        self.registers[c].view(np.float32)[...] += sums[..., 0] + sums[..., 1]


@pytest.mark.parametrize("begun", [True, False])
def test_a_block_of_tiles_is_the_product(begun):
    """The code for AMX runs on any machine, if its instructions are functions of Python."""
    tiles, byte, word = Tiles(), ctypes.c_int8, ctypes.c_int64
    move, multiply = (ctypes.CFUNCTYPE(None, byte, word, word), ctypes.CFUNCTYPE(None, *[byte] * 3))
    kinds = {"tileloadd64": move, "tilestored64": move, "tdpbf16ps": multiply}
    functions = {name: kind(getattr(tiles, name)) for name, kind in kinds.items()}
    for name, function in functions.items():
        binding.add_symbol(f"emulated_{name}", ctypes.cast(function, ctypes.c_void_p).value)
    module = binding.parse_assembly(compiled(block._with_tiles).replace("llvm.x86.", "emulated_"))
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    machine = binding.Target.from_default_triple().create_target_machine()
    engine = binding.create_mcjit_compiler(module, machine)
    engine.finalize_object()
    run = ctypes.CFUNCTYPE(None, *[word] * 8)(engine.get_function_address("multiply"))

    a, b, room = normal(32, 80), normal(80, 32, seed=1), normal(34, 40, seed=2)
    x, y = np.ascontiguousarray(packed_panels(a)), turned(packed_panels(b.T))
    c, bias = room[1:-1, 4:-4], normal(32, seed=3)
    start, expected = (c, c.copy()) if begun else (bias, bias)
    around = room.copy()
    run(x.ctypes.data, y.ctypes.data, 3, start.ctypes.data, c.strides[0] if begun else 0,
        c.ctypes.data, c.strides[0], 0)  # fmt: skip
    check(c, a, b, "bf16", expected)
    around[1:-1, 4:-4] = c
    np.testing.assert_array_equal(room, around)  # nothing around it was written


def test_tiles_compile_to_the_schedule():
    text = assembly(compiled(block._with_tiles), "sapphirerapids", "+amx-bf16,+amx-tile")
    lines = re.findall(r"^\s+(tileloadd|tdpbf16ps|tilestored)\s.*$", text, re.M)
    assert lines.count("tilestored") == 4 and lines.count("tileloadd") == 4 + 4
    found = [
        tuple(map(int, re.findall(r"%tmm(\d)", line)))
        for line in re.findall(r"^\s+(?:tileloadd|tdpbf16ps)\s.*$", text, re.M)[4:]
    ]  # AT&T order: the register that is changed comes last
    schedule = [
        (number,) if name == "load" else (*reversed(rest), number)
        for name, number, *rest in block.TILE_SCHEDULE
    ]
    assert found == schedule


def test_sums_of_vectors_stay_in_registers():
    text = assembly(compiled(block._with_vectors), "znver4", "+avx512bf16")
    assert text.count("vdpbf16ps") == 4 * 16  # four rounds of 8 rows by 2 registers
    assert not re.search(r"%zmm\d+, \S*\(%rsp\)", text)  # none is put aside in memory, where
    assert not re.search(r"%rsp, %rbp", text)  # %rbp is a row of C, and not the frame either
    assert text.count("vmovntps") == 4 * 16 and text.count("prefetchw") == 4 * 16
