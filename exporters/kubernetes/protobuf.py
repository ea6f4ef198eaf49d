"""Reads protobuf's wire format without generated code: https://protobuf.dev/programming-guides/encoding."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
Fields = dict[int, list[int | bytes]]


def fields(message: bytes) -> Fields:
    """Return a message's values by field number: int or bytes (strings and inner messages). Raises ValueError for a broken one."""
    found: Fields = {}
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        value: int | bytes
        if key & 7 == _VARINT:
            value, place = _varint(message, place)
        else:
            if key & 7 == _BYTES:
                size, place = _varint(message, place)
            elif key & 7 in (_FIXED64, _FIXED32):
                size = 8 if key & 7 == _FIXED64 else 4
            else:
                raise ValueError(f"unknown wire type {key & 7}")
            if place + size > len(message):
                raise ValueError("the message is cut")
            value, place = message[place : place + size], place + size
        found.setdefault(key >> 3, []).append(value)
    return found


def texts(message: Fields, number: int) -> list[str]:
    """Return a field's strings."""
    return [value.decode(errors="replace") for value in message.get(number, []) if isinstance(value, bytes)]


def text(message: Fields, number: int) -> str:
    """Return a field's last string, or an empty one."""
    return next(reversed(texts(message, number)), "")


def messages(message: Fields, number: int) -> list[Fields]:
    """Return a field's inner messages."""
    return [fields(value) for value in message.get(number, []) if isinstance(value, bytes)]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(message) or shift > 63:
            raise ValueError("the message is cut")
        byte = message[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if not byte & 0x80:
            return value, place
