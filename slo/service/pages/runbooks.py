"""The runbooks' Markdown as HTML: all of them with a table of contents, or one alert's with the alert's labels filled in."""

import re
from collections.abc import Mapping
from html import escape
from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

from plimsoll.slo import links

Section = tuple[str, list[tuple[str, str]]]
# Values that are filled in come from the address: only what needs no quoting in PromQL or a shell.
SAFE = re.compile(r"[\w.:/@+-]{1,200}", re.ASCII)
NAMES = ("pool", "model", "owner", "replica", "instance", "uuid", "objective")
COMMANDS = (
    "amtool",
    "curl",
    "dmesg",
    "docker",
    "journalctl",
    "kubectl",
    "lspci",
    "nvidia",
    "plimsoll ",
    "promtool",
    "ssh",
    "sudo",
    "systemctl",
)
ACTIONS = "Commands"  # section with commands for each platform, shown below each runbook


def render_runbooks(text: str) -> str:
    """Return the runbooks as HTML; a heading's anchor is its lower-case text with hyphens."""
    return _rendered(_markdown().parse(text))


def render_runbook(text: str, alert: str, given: Mapping[str, str], service: str, grafana: str) -> str | None:
    """Return one alert's runbook as HTML, with its labels filled in and each query as a link to Grafana Explore; None: unknown alert.

    `given` are the labels by name; a value that isn't SAFE stays as it is written in the runbook. Raises nothing.
    """
    tokens = _markdown().parse(text)
    found, actions = _section(tokens, alert, "h3"), _section(tokens, ACTIONS, "h2")
    if not found:
        return None
    values = {name: value for name, value in given.items() if name in NAMES and SAFE.fullmatch(value)}
    if "instance" in values:
        values["node"] = values["instance"].rpartition(":")[0] or values["instance"]
    values |= {"service": service}
    for token in (*found, *actions):
        for one in (token, *(token.children or ())):
            one.content = _filled(one.content, values)
        if token.type == "code_block":
            token.type, token.content = "html_block", _code(token.content, grafana)
    return _rendered([*found, *actions])


def contents(text: str) -> list[Section]:
    """Return the sections (h2) with the anchor and the title of each runbook (h3) in them."""
    tokens, found = _markdown().parse(text), list[Section]()
    for opening, heading in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h2":
            found.append((heading.content, []))
        elif opening.type == "heading_open" and opening.tag == "h3" and found:
            found[-1][1].append((_anchor(heading), heading.content))
    return found


def _section(tokens: list[Token], title: str, tag: str) -> list[Token]:
    """Return the tokens from a heading to the next one of its level or above."""
    begin = next(
        (
            index
            for index, (opening, heading) in enumerate(pairwise(tokens))
            if opening.type == "heading_open" and opening.tag == tag and heading.content == title
        ),
        None,
    )
    if begin is None:
        return []
    rest = tokens[begin + 1 :]
    ends = (index for index, one in enumerate(rest) if one.type == "heading_open" and one.tag <= tag)
    return tokens[begin : begin + 1 + next(ends, len(rest))]


def _filled(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"\$([a-z]+)", lambda found: values.get(found[1], found[0]), text)


def _code(text: str, grafana: str) -> str:
    """Return lines of code, each query with a link that opens it."""
    return f"<pre><code>{''.join(_line(line, grafana) for line in text.splitlines())}</code></pre>\n"


def _line(line: str, grafana: str) -> str:
    shown = escape(line)
    if not line.strip() or line.startswith((*COMMANDS, " ")) or re.search(r"\$[a-z]", line):
        return f"{shown}\n"
    return f'{shown} <a href="{escape(links.explore_url(line, grafana))}">Explore</a>\n'


def _rendered(tokens: list[Token]) -> str:
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[index + 1]))
    markdown = _markdown()
    rendered: str = markdown.renderer.render(tokens, markdown.options, {})
    return rendered


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _anchor(heading: Token) -> str:
    return heading.content.strip().lower().replace(" ", "-")
