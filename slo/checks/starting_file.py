"""The objectives file that proposals make, with comments; and proposals added to a file that exists, whose text stays as it is. Pure."""

import json
import re
from collections.abc import Iterator, Sequence

import yaml

from plimsoll.slo.checks.starting import Proposal, Proposed
from plimsoll.slo.spec.objectives import SpecError, load

_PLAIN = re.compile(r"[A-Za-z][\w.-]*/[\w./-]*\w")  # a model's name that YAML reads as a text without quotes
_HEAD = """\
# Starting objectives, proposed by `plimsoll init` from what the engines report. Check each threshold and target with the people who
# use the service, and delete the line `proposed: true`. Validate with `plimsoll check --objectives FILE`.
version: plimsoll/v1
proposed: true
"""
# Lines that a pool can do without, and what needs them.
POOL_LINES = {
    "node": "node: {gpu: H100-80GB, gpus: 1, replicas: 1, hourly_usd: 2.00}",
    "nodes": "nodes: {min: 1, max: 8, warm_spares: 0}",
    "timing": "timing: {cold_start: 150s, warm_start: 5s, scale_in_stabilization: 300s}",
}
NEEDED_FOR = {
    "node": "for costs and what-if analysis: the GPUs and the price of a node",
    "nodes": "for capacity: the limits of the pool (default: 1 to 100 nodes)",
    "timing": "for capacity: how long a node takes to start (default: these times)",
}


def pool_entry(found: Proposal) -> list[str]:
    """Return the lines of a pool, each indented as an item of `pools`."""
    model = found.model if _PLAIN.fullmatch(found.model) else json.dumps(found.model, ensure_ascii=False)
    more = [f"    # {text}  # {NEEDED_FOR[name]}" for name, text in POOL_LINES.items()]
    return [f"  - name: {found.pool}  # taken for a model of the kind {found.kind}", f"    model: {model}", *more]


def slo_entries(found: Proposal) -> list[str]:
    """Return the lines of a pool's SLOs, each indented as an item of `objectives`."""
    return [line for one in found.slos for line in _slo_lines(found.pool, one)]


def _slo_lines(pool: str, one: Proposed) -> Iterator[str]:
    if not one.indicator:
        yield f"  # No {one.id}: {one.note}."
        return
    if one.note:
        yield f"  # {one.note[0].upper()}{one.note[1:]}."
    yield f"  - {{id: {one.id}, pool: {pool}, {one.line}}}"


def new_file(found: Sequence[Proposal]) -> str:
    """Return the text of a file with these pools and SLOs."""
    pools = [line for one in found for line in pool_entry(one)]
    slos = [line for one in found for line in slo_entries(one)]
    return _HEAD + "\n".join([_key("pools", found), *pools, _key("objectives", slos), *slos, ""])


def _key(name: str, entries: Sequence[object]) -> str:
    return f"{name}:" if any(not str(line).lstrip().startswith("#") for line in entries) else f"{name}: []"


def with_added(text: str, found: Sequence[Proposal]) -> str:
    """Return an objectives file's text with pools and SLOs added at the end of their lists; everything else stays as it is.

    Raises SpecError where the lists aren't written one item a line, so that nothing can be added by line.
    """
    lines = text.splitlines()
    ends = _ends_of_lists(text)
    entries = {
        "pools": [line for one in found for line in pool_entry(one)],
        "objectives": [line for one in found for line in slo_entries(one)],
    }
    for name in sorted(entries, key=lambda name: ends.get(name, (-1, 0)), reverse=True):
        if name not in ends:
            raise SpecError(f"{name}: isn't a list with one item a line. Add the pools by hand: see `plimsoll init`.")
        line, indent = ends[name]
        while line < len(lines) and _belongs_to_item(lines[line], indent):
            line += 1
        lines[line:line] = [" " * indent + entry[2:] for entry in entries[name]]
    added = "\n".join([*lines, ""])
    load(added)
    return added


def _belongs_to_item(line: str, indent: int) -> bool:
    """Whether a line is a comment within the last item of a list that is indented by `indent` characters."""
    return line.lstrip().startswith("#") and len(line) - len(line.lstrip()) > indent


def _ends_of_lists(text: str) -> dict[str, tuple[int, int]]:
    """Return of each top-level list in block style the line after its last value, and its indentation."""
    root = yaml.compose(text, yaml.SafeLoader)
    pairs = root.value if isinstance(root, yaml.MappingNode) else []
    blocks = ((key, node) for key, node in pairs if isinstance(node, yaml.SequenceNode) and not node.flow_style)
    return {key.value: (_last_line(node) + 1, node.start_mark.column) for key, node in blocks}


def _last_line(node: yaml.Node) -> int:
    """Return the line of the last character of a value: a block's own mark stands behind the comments that follow it."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _last_line(last[1] if isinstance(last, tuple) else last)
    return int(node.end_mark.line)
