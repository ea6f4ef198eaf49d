"""The runbooks' Markdown as HTML, with a table of contents."""

from itertools import pairwise

from markdown_it import MarkdownIt
from markdown_it.token import Token

Section = tuple[str, list[tuple[str, str]]]


def render_runbooks(text: str) -> str:
    """Return the runbooks as HTML; a heading's anchor is its lower-case text with hyphens."""
    markdown = _markdown()
    tokens = markdown.parse(text)
    for index, token in enumerate(tokens):
        if token.type == "heading_open":
            token.attrSet("id", _anchor(tokens[index + 1]))
    rendered: str = markdown.renderer.render(tokens, markdown.options, {})
    return rendered


def contents(text: str) -> list[Section]:
    """Return the sections (h2) with the anchor and the title of each runbook (h3) in them."""
    tokens, found = _markdown().parse(text), list[Section]()
    for opening, heading in pairwise(tokens):
        if opening.type == "heading_open" and opening.tag == "h2":
            found.append((heading.content, []))
        elif opening.type == "heading_open" and opening.tag == "h3" and found:
            found[-1][1].append((_anchor(heading), heading.content))
    return found


def _markdown() -> MarkdownIt:
    return MarkdownIt("commonmark", {"html": False}).enable("table")


def _anchor(heading: Token) -> str:
    return heading.content.strip().lower().replace(" ", "-")
