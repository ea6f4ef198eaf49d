"""Hostile versions of real files, for property tests: cut, repeated, and spliced with what parsers stumble over."""

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

SPLICES = (
    *(b"\x00", b"\xff\xfe", b"\xed\xa0\x80", b"\r\n", b"\n\n", b" ", b"\t", b'"', b"\\", b"'", b"`", b"{{", b"}}", b"{", b"}", b"[", b"]", b"#", b","),
    *(b"NaN", b"+Inf", b"-Inf", b"1e999", b"-1", b"0x10", b"1_000", b"9" * 400, b"1e308", b"1e-400", b"true", b"null", b"~", b".inf"),
    *(b"&a ", b"*a", b"<<: *a", b"!!timestamp x", b"? ", b"- ", b": ", b"---\n", b"|", b">", b"%", b"$1", b"@", b"\xc2\xb2", b"\xd9\xa3"),
    *(b"[" * 200, b"{" * 200, b"(" * 200, b"a" * 3000),
)  # fmt: skip
EDITS = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 60), st.sampled_from(SPLICES) | st.binary(max_size=8), st.integers(1, 3)),
    min_size=1,
    max_size=5,
)
LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["5m", "99%", "100%", "1e400ms", "0s", "availability", "m", "chat-70b"])
)
VALUES = st.recursive(
    LEAVES,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=8), below, max_size=3),
    max_leaves=6,
)


def mutated(*seeds: bytes) -> st.SearchStrategy[bytes]:
    """Draw bytes: arbitrary ones, or a seed with a few edits."""
    edited = st.builds(_edited, st.sampled_from(seeds), EDITS)
    return st.one_of(st.binary(max_size=60), *[edited] * 9)


def mutated_text(*seeds: str) -> st.SearchStrategy[str]:
    """Draw text: a seed with a few edits."""
    return mutated(*(seed.encode() for seed in seeds)).map(lambda body: body.decode(errors="replace"))


def _edited(seed: bytes, edits: Sequence[tuple[float, int, bytes, int]]) -> bytes:
    for place, length, splice, times in edits:
        at = int(place * len(seed))
        seed = seed[:at] + splice * times + seed[at + length :]
    return seed


@st.composite
def regrown(draw: st.DrawFn, seed: Any) -> Any:
    """Draw a tree of lists and mappings like the seed, in which one place holds another value."""
    if isinstance(seed, dict) and seed and draw(st.integers(0, 9)):
        key = draw(st.sampled_from(sorted(seed, key=str)))
        return {**seed, key: draw(regrown(seed[key]))}
    if isinstance(seed, list) and seed and draw(st.integers(0, 9)):
        index = draw(st.integers(0, len(seed) - 1))
        return [*seed[:index], draw(regrown(seed[index])), *seed[index + 1 :]]
    return draw(VALUES)
