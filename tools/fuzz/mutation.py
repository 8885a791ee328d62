"""Damage, as a function of a random generator."""

from __future__ import annotations

import numpy as np

EDGES = (0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF)
MAX_CHANGES = 5


def mutate(content: bytes, other: bytes, rng: np.random.Generator) -> bytes:
    """`content` with a few random changes, among them pieces of `other`."""
    data = bytearray(content)
    for _ in range(int(rng.integers(1, MAX_CHANGES + 1))):
        if not data:
            break
        # Half of the changes near the beginning, where the headers are.
        reach = len(data) if rng.random() < 0.5 else min(len(data), 256)
        at = int(rng.integers(reach))
        length = int(min(len(data) - at, rng.geometric(0.1)))
        kind = int(rng.integers(8))
        if kind == 0:
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at] = int(rng.choice(EDGES))
        elif kind == 2:
            data[at : at + length] = rng.integers(0, 256, length, dtype=np.uint8).tobytes()
        elif kind == 3:
            data[at : at + length] = bytes([int(rng.choice(EDGES))]) * length
        elif kind == 4:
            del data[at : at + length]
        elif kind == 5:
            data[at:at] = data[at : at + length] * int(rng.integers(1, 20))
        elif kind == 6 and other:
            start = int(rng.integers(len(other)))
            data[at : at + length] = other[start : start + length]
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)
