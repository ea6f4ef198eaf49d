"""Settings of an engine that its command line states, where its page has none. What it doesn't state is unknown: defaults differ by version and GPU."""

from collections.abc import Iterator, Mapping, Sequence

_FLAGS = {"--max-num-seqs": "max_num_seqs", "--max-num-batched-tokens": "max_num_batched_tokens"}
_SIZES = {"k": 10**3, "m": 10**6, "K": 2**10, "M": 2**20}  # as vLLM's human_readable_int


def stated_settings(words: Sequence[str]) -> Mapping[str, int]:
    """Return the settings that vLLM's command line states, by name."""
    found: dict[str, int] = {}
    for option, value in options(words):
        setting, size = _FLAGS.get(option), _SIZES.get(value[-1:], 1)
        number = value[:-1] if size > 1 else value
        if setting and number.isdecimal():
            found[setting] = int(number) * size
    return found


def options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield options with their values, as `--name value` or `--name=value`; names with hyphens, as both engines accept them."""
    for place, word in enumerate(words):
        if word.startswith("--"):
            name, given, value = word.partition("=")
            following = words[place + 1] if place + 1 < len(words) else ""
            yield name.replace("_", "-").replace("kv-role", "kv_role"), value if given else following
