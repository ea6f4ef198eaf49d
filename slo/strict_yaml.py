"""Reads YAML that others wrote: within limits of size, depth, and aliases, and with each key once.

YAML's own rules let a screenful of text grow to gigabytes (aliases of aliases), contain itself, and lose the first of two equal keys.
"""

from collections.abc import Iterator
from math import isfinite
from typing import Any

import yaml

MAX_CHARACTERS = 2_000_000
MAX_VALUES = 200_000  # keys, values and their lists and mappings, once every alias is replaced by what it stands for
MAX_DEPTH = 50  # of lists and mappings in each other
_DATE, _MERGE = "tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
_DIGITS = 100  # of a number: YAML's `1:59:59` form makes numbers of any size out of a long line
_SHOWN = 60  # characters of a text in a message


class InvalidYamlError(ValueError):
    """The text isn't YAML that Plimsoll reads; the message is `LINE:COLUMN: what is wrong. The fix.`"""


def load(text: str) -> Any:
    """Read a text with one YAML document (None where it is empty); raises InvalidYamlError."""
    found = list(_documents(text, _Loader))
    if len(found) > 1:
        raise InvalidYamlError("1:1: the file has several YAML documents. Keep one.")
    return found[0] if found else None


def load_all(text: str) -> list[Any]:
    """Read a text with any number of YAML documents, dates left as text; raises InvalidYamlError."""
    return list(_documents(text, _DatesAsText))


def _documents(text: str, kind: "type[_Loader]") -> Iterator[Any]:
    if len(text) > MAX_CHARACTERS:
        raise InvalidYamlError(f"1:1: the file has more than {MAX_CHARACTERS:,} characters. Split it.")
    try:
        loader: Any = kind(text)  # PyYAML's stubs have no types here
        while loader.check_data():
            yield loader.get_data()
    except yaml.reader.ReaderError as error:
        line, column = text.count("\n", 0, error.position) + 1, error.position - text.rfind("\n", 0, error.position)
        raise InvalidYamlError(f"{line}:{column}: {error.reason}. Remove the character.") from error
    except yaml.MarkedYAMLError as error:
        raise InvalidYamlError(_line(error)) from error


def _line(error: yaml.MarkedYAMLError) -> str:
    mark = error.problem_mark or error.context_mark
    place = f"{mark.line + 1}:{mark.column + 1}" if mark else "1:1"
    problem = " ".join(" ".join(filter(None, (error.context, error.problem))).split())
    syntax = "not YAML: " if isinstance(error, yaml.scanner.ScannerError | yaml.parser.ParserError) else ""
    return f"{place}: {syntax}{problem[:200]}. {error.note or 'Fix the YAML syntax.'}"


class _Loader(yaml.SafeLoader):
    """The safe loader, which rejects what costs more than its text."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = self._total = 0
        self._sizes: dict[int, tuple[int, int]] = {}  # of each finished node: its values and depth, aliases replaced

    def compose_document(self) -> yaml.Node | None:
        """Compose one document; the limits hold for each."""
        self._total, self._sizes = 0, {}
        node: yaml.Node | None = super().compose_document()
        return node

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        """Compose a value, or find the one that an alias stands for."""
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        mark, is_alias = event.start_mark, isinstance(event, yaml.AliasEvent)
        self._depth += 1
        self._limit(0, self._depth, mark)
        node: yaml.Node | None = super().compose_node(parent, index)
        self._depth -= 1
        if not is_alias:
            self._limit(1, 0, mark)
            self._sizes[id(node)] = self._size(node)
        elif id(node) in self._sizes:
            values, depth = self._sizes[id(node)]
            self._limit(values, self._depth + depth, mark)
        else:
            raise _error("an alias stands inside the value that it names", mark, "Write the value out.")
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Compose a mapping, in which each key stands once."""
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[Any, int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _error("a key is a list or a mapping", key.start_mark, "Write a text.")
            name = _MERGE if key.tag == _MERGE else self.construct_object(key)
            if name in lines:
                problem = f"the key {key.value[:_SHOWN]!r} stands in line {lines[name]} already"
                raise _error(problem, key.start_mark, "Keep one of them.")
            lines[name] = key.start_mark.line + 1
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Construct a value. Numbers are finite, and a text that its type can't hold is an error of its place."""
        shown = repr(node.value[:_SHOWN]) if isinstance(node, yaml.ScalarNode) else "a list or a mapping"
        try:
            if node.tag in _NUMBERS and len(node.value) > _DIGITS:
                raise ValueError(node.tag)
            value = super().construct_object(node, deep)
            if isinstance(value, str):
                value.encode()  # half of a surrogate pair can't be written to a file or database
        except (ValueError, KeyError, AttributeError, TypeError, OverflowError) as error:
            raise _error(
                f"{shown} isn't a value of its type", node.start_mark, "Quote it to make it a text."
            ) from error
        if isinstance(value, float) and not isfinite(value):
            raise _error(f"{shown} isn't a finite number", node.start_mark, "Write a finite number.")
        return value

    def _limit(self, values: int, depth: int, mark: yaml.Mark) -> None:
        self._total += values
        if depth > MAX_DEPTH:
            raise _error(f"lists and mappings are nested deeper than {MAX_DEPTH}", mark, "Flatten them.")
        if self._total > MAX_VALUES:
            raise _error(f"the file has more than {MAX_VALUES:,} values, aliases replaced", mark, "Split it.")

    def _size(self, node: yaml.Node | None) -> tuple[int, int]:
        below: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            below = [one for pair in node.value for one in pair]
        elif isinstance(node, yaml.SequenceNode):
            below = node.value
        sizes = [self._sizes[id(one)] for one in below]
        return 1 + sum(values for values, _ in sizes), 1 + max((depth for _, depth in sizes), default=0)


class _DatesAsText(_Loader):
    """OpenSLO's startTime has no time zone of its own, so it stays a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - PyYAML's own way
        first: [(tag, pattern) for tag, pattern in resolvers if tag != _DATE]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def _error(problem: str, mark: yaml.Mark, fix: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, mark, fix)
