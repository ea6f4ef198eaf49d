"""Writes a tiny random Llama as llama.cpp reads it, a GGUF file of version 3: metadata, list of tensors, and their numbers."""

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ALIGNMENT = 32
WIDTH, INNER, LAYERS, HEADS, CONTEXT = 64, 128, 2, 4, 8192
Value = str | int | float | Sequence[str] | Sequence[float] | Sequence[int]
# Numbers of the types in the file.
_UINT32, _INT32, _FLOAT32, _STRING, _ARRAY = 4, 5, 6, 8, 9


def write(path: Path) -> None:
    """Write a model whose tokens are bytes; the weights are the same each time."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    metadata: dict[str, Value] = {
        "general.architecture": "llama",
        "general.name": "tiny",
        "llama.context_length": CONTEXT,
        "llama.embedding_length": WIDTH,
        "llama.block_count": LAYERS,
        "llama.feed_forward_length": INNER,
        "llama.attention.head_count": HEADS,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": WIDTH // HEADS,
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": [0.0] * len(tokens),
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256],  # unknown, control, bytes
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
    }
    path.write_bytes(_file(metadata, _tensors(len(tokens))))


def _tensors(tokens: int) -> dict[str, NDArray[np.float32]]:
    random = np.random.default_rng(7)
    shapes: dict[str, tuple[int, ...]] = {
        "token_embd": (tokens, WIDTH),
        "output": (tokens, WIDTH),
        "output_norm": (WIDTH,),
    }
    for layer in range(LAYERS):
        shapes |= {f"blk.{layer}.{name}": (WIDTH,) for name in ("attn_norm", "ffn_norm")}
        shapes |= {f"blk.{layer}.attn_{name}": (WIDTH, WIDTH) for name in ("q", "k", "v", "output")}
        shapes |= {f"blk.{layer}.ffn_{name}": (INNER, WIDTH) for name in ("gate", "up")}
        shapes[f"blk.{layer}.ffn_down"] = (WIDTH, INNER)
    return {f"{name}.weight": random.normal(0, 0.1, shape).astype(np.float32) for name, shape in shapes.items()}


def _file(metadata: Mapping[str, Value], tensors: Mapping[str, NDArray[np.float32]]) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_text(key) + _value(value) for key, value in metadata.items())
    body = b""
    for name, tensor in tensors.items():
        sizes = tensor.shape[::-1]  # the innermost first
        head += _text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, 0, len(body))
        body += _padded(tensor.tobytes())
    return _padded(head) + body


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGNMENT)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def _value(value: Value) -> bytes:
    if isinstance(value, str):
        return struct.pack("<I", _STRING) + _text(value)
    if isinstance(value, int | float):
        return struct.pack("<II" if isinstance(value, int) else "<If", _kind(value), value)
    items = b"".join(_value(item)[4:] if not isinstance(item, int) else struct.pack("<i", item) for item in value)
    kind = _STRING if isinstance(value[0], str) else _INT32 if isinstance(value[0], int) else _FLOAT32
    return struct.pack("<IIQ", _ARRAY, kind, len(value)) + items


def _kind(value: float) -> int:
    return _UINT32 if isinstance(value, int) else _FLOAT32
