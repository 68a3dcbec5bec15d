"""A quantized weight file, taken apart by hand: from its first byte to one number.

What it teaches. The weights of a model are mostly stored with fewer bits than a float32 has. A
*block* of 32 weights shares one scale d, and each weight is a small whole number q: w = d (q - 8)
with 4 bits each takes 18 bytes in place of 128. The larger K blocks do the same twice: their groups
have scales that are themselves small whole numbers times one scale.

Part 1 makes blocks from weights and measures what is lost. Part 2 writes a GGUF file of one tensor,
byte by byte, and reads it back in the same way. Part 3 takes a block of the file apart with shifts
and masks. Part 4 finds one weight in a K block. Each time, the project's reader must agree.

Before: 11_faster_stage_by_stage.py. Next: 13_pretrained_model.py. docs/gguf.md draws the file,
docs/block_formats.md derives the formats, and the reader is tinygrad_llm/pretrained/gguf_file.py.

Exercises, answered in solutions/12_weight_file_by_hand.py. Try first.

1. The number that is missing. A block has the weights -1 and +1 and smaller ones. What do they
   become in Q4_0, and why not the same size? And in Q8_0?
2. One weight for all. Set one weight of a block to 100, the others being of size 1. How large
   is the error of the others, and of the next block?
3. A better scale. ``to_q4_0`` meets the largest weight exactly. Find a d for each block that makes
   the rms error smaller. Does the reader of the file have to know?
"""

import struct
import tempfile
import textwrap
from pathlib import Path

import numpy as np

from tinygrad_llm.pretrained.gguf_file import read_gguf
from tinygrad_llm.quantized.blocks import dequantize


def say(text):
    """Print a block of text without its margin."""
    print(textwrap.dedent(text).removeprefix("\n"), end="")


# --- part 1: from weights to blocks ---------------------------------------------------------------


def to_q4_0(weights):
    """32 weights as the 18 bytes of a Q4_0 block."""
    largest = weights[np.argmax(np.abs(weights))]
    d = np.float16(largest / -8)  # so that the largest weight becomes q = 0, which means -8
    q = np.clip(np.round(weights / np.float32(d)) + 8, 0, 15).astype(np.uint8)
    return d.tobytes() + bytes(q[:16] | q[16:] << 4)  # weight i below weight i + 16


def to_q8_0(weights):
    """32 weights as the 34 bytes of a Q8_0 block."""
    d = np.float16(np.abs(weights).max() / 127)
    q = np.clip(np.round(weights / np.float32(d)), -127, 127).astype(np.int8)
    return d.tobytes() + q.tobytes()


def part_1_what_is_lost(weights):
    say("""
        1. What is lost

        1,024 random weights, each within a block of 32:

          format   bytes per block   bits per weight   largest error       rms error   half a step
    """)
    errors = []
    for name, to_block in (("Q8_0", to_q8_0), ("Q4_0", to_q4_0)):
        blocks = [to_block(block) for block in weights.reshape(-1, 32)]
        back = dequantize(np.frombuffer(b"".join(blocks), np.uint8), name)
        error = np.abs(back - weights)
        steps = [abs(float(np.frombuffer(block[:2], np.float16)[0])) for block in blocks]
        size, half = len(blocks[0]), max(steps) / 2
        print(
            f"  {name}     {size:15d}   {8 * size / 32:15.1f}   {error.max():13.4f}"
            f"   {np.sqrt((error**2).mean()):13.4f}   {half:11.4f}"
        )
        errors.append(error.max())
    assert 10 < errors[1] / errors[0] < 50  # 8 bits have 16 times as many steps as 4
    say("""

        A weight moves to the nearest multiple of d, by half a step at most. (At the end of the
        range Q4_0 may lose a whole step: -8 has a place among the 16 numbers, +8 has none.)

    """)


# --- part 2: a file, byte by byte -----------------------------------------------------------------


def string(text):
    return struct.pack("<Q", len(text)) + text.encode()


def part_2_the_file(path, data):
    fields = [
        ("magic number", b"GGUF"),
        ("version 3", struct.pack("<I", 3)),
        ("number of tensors", struct.pack("<Q", 1)),
        ("number of metadata", struct.pack("<Q", 1)),
        ("key: its length, then its letters", string("general.name")),
        ("type of the value: 8, a string", struct.pack("<I", 8)),
        ("the value", string("tiny")),
        ("name of the tensor", string("w")),
        ("number of axes", struct.pack("<I", 2)),
        ("sizes, the contiguous axis first", struct.pack("<2Q", 64, 2)),
        ("type of the tensor: 2, Q4_0", struct.pack("<I", 2)),
        ("offset in the data", struct.pack("<Q", 0)),
    ]
    header = b"".join(content for _, content in fields)
    fields.append(("padding, to a multiple of 32", bytes(-len(header) % 32)))
    print("2. A file, byte by byte\n\n  at  bytes")
    at = 0
    for what, content in fields:
        shown = content.hex(" ") if len(content) <= 16 else content[:16].hex(" ") + " ..."
        print(f"{at:4d}  {shown:51s}  {what}")
        at += len(content)
    print(f"{at:4d}  {data[:6].hex(' '):47s} ...  data: {len(data) // 18} blocks of 18 bytes\n")
    path.write_bytes(b"".join(content for _, content in fields) + data)

    file = read_gguf(path)
    assert file.metadata == {"general.name": "tiny"}
    info = file.tensors["w"]
    assert (info.format, info.shape, info.begin) == ("Q4_0", (2, 64), at)
    print(f"The reader finds: {info}\n")
    return file


# --- part 3: a block, bit by bit ------------------------------------------------------------------


def part_3_a_block(file):
    weights = file.read("w")
    block = file.stored("w").reshape(-1)[18:36].tobytes()  # the second block: w[0, 32:64]
    (d,) = struct.unpack("<e", block[:2])  # e: a float16
    say(f"""
        3. The second block, bit by bit: weights 32 to 63 of row 0

        d = {block[:2].hex(" ")} as a float16 = {d}

          byte   bits        low four bits               high four bits
    """)
    found = [0.0] * 32
    for i, byte in enumerate(block[2:]):
        low, high = byte & 0b1111, byte >> 4
        found[i], found[i + 16] = d * (low - 8), d * (high - 8)
        if i in (0, 1, 15):
            print(
                f"  {i + 2:4d}   {byte >> 4:04b} {byte & 15:04b}"
                f"   w[{32 + i}] = d ({low:2d} - 8) = {found[i]:+.4f}"
                f"   w[{48 + i}] = d ({high:2d} - 8) = {found[i + 16]:+.4f}"
            )
        elif i == 2:
            print("   ...")
    assert weights[0, 32:].tolist() == np.float32(found).tolist()
    print("\nAll 32 are the reader's, bit for bit.\n")


# --- part 4: one weight of a K block --------------------------------------------------------------


def part_4_a_k_block(index):
    """Q4_K: 256 weights in 8 groups, w = (d s) q - (m t), with 6 bits for s and for t."""
    block = bytearray(np.random.default_rng(5).integers(0, 256, 144, dtype=np.uint8))
    block[:4] = struct.pack("<2e", 0.0125, 0.05)
    d, m = struct.unpack("<2e", block[:4])
    scales, q = block[4:16], block[16:]
    group = index // 32
    assert group >= 4, "the scales of groups 0 to 3 are stored in another way"
    # The low four bits are in bytes 8 to 11, the high two at the top of bytes 0 to 7.
    s = scales[8 + group - 4] & 15 | scales[group - 4] >> 6 << 4
    t = scales[8 + group - 4] >> 4 | scales[group] >> 6 << 4
    # Two groups share 32 bytes: the even one has the low halves, the odd one the high halves.
    at = 32 * (group // 2) + index % 32
    byte = q[at]
    number = byte >> 4 if group % 2 else byte & 15
    half = "high" if group % 2 else "low"
    weight = np.float32(d) * np.float32(s) * np.float32(number) - np.float32(m) * np.float32(t)
    say(f"""
        4. Weight {index} of a Q4_K block (256 weights, 144 bytes, 4.5 bits each)

          group {index} // 32 = {group}
          s = {s:2d}   four bits of byte {8 + group - 4} of the scales, two of byte {group - 4}
          t = {t:2d}   the other four bits of byte {8 + group - 4}, two of byte {group}
          q = {number:2d}   the {half} four bits of {byte:08b}, byte {at} of q
          w = (d s) q - (m t) = ({d:.4f} x {s}) x {number} - ({m:.4f} x {t}) = {weight:+.4f}
    """)
    decoded = dequantize(np.frombuffer(bytes(block), np.uint8), "Q4_K")
    assert decoded.shape == (256,) and decoded[index] == weight
    print("\nThe reader agrees. Its function is q4_k in tinygrad_llm/quantized/blocks.py.")


def main():
    weights = np.random.default_rng(0).standard_normal(1024).astype(np.float32)
    part_1_what_is_lost(weights)
    data = b"".join(to_q4_0(block) for block in weights[:128].reshape(-1, 32))
    with tempfile.TemporaryDirectory() as folder:
        part_3_a_block(part_2_the_file(Path(folder) / "tiny.gguf", data))
    part_4_a_k_block(170)


if __name__ == "__main__":
    main()
