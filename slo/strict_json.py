"""Reads JSON that others wrote: within a limit of depth, with finite numbers, and with each key once.

Python's own reader takes NaN and 1e999, keeps the last of two equal keys, and raises RecursionError for deep lists.
"""

import json
from math import isfinite
from typing import Any

MAX_DEPTH = 50  # of lists and objects in each other
_SHOWN = 60  # characters of a text in a message


class InvalidJsonError(ValueError):
    """The text isn't JSON that Plimsoll reads; the message is one line that states what is wrong."""


def load(text: str | bytes) -> Any:
    """Read one JSON value; raises InvalidJsonError."""
    try:
        value = json.loads(text, parse_constant=_no_number, parse_float=_finite, object_pairs_hook=_object)
    except RecursionError:
        raise InvalidJsonError(_TOO_DEEP) from None
    except InvalidJsonError:
        raise
    except json.JSONDecodeError as error:
        raise InvalidJsonError(f"{error.msg} (line {error.lineno}, column {error.colno})") from error
    except ValueError as error:  # not UTF-8, or a whole number of thousands of digits
        raise InvalidJsonError(" ".join(str(error).split())[:200]) from error
    _limit_depth(value)
    return value


_TOO_DEEP = f"lists and objects are nested deeper than {MAX_DEPTH}"


def _limit_depth(value: Any) -> None:
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        level = [
            below
            for one in level
            if isinstance(one, dict | list)
            for below in (one.values() if isinstance(one, dict) else one)
        ]
        if not level:
            return
    raise InvalidJsonError(_TOO_DEEP)


def _finite(text: str) -> float:
    number = float(text)
    return number if isfinite(number) else _no_number(text)


def _no_number(text: str) -> float:
    raise InvalidJsonError(f"{text[:_SHOWN]} isn't a finite number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in found if keys.count(key) > 1)
        raise InvalidJsonError(f"the key {twice[:_SHOWN]!r} stands twice in one object")
    return found
