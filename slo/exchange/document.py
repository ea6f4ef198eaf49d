"""A source file that records which of its fields were used, so that every unused one is listed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from plimsoll.slo import strict_yaml
from plimsoll.slo.units import printable

Path = tuple[str | int, ...]


class Loss(NamedTuple):
    """What was not converted: its path in the source file, and the reason."""

    path: str
    reason: str


class UnsupportedFieldError(Exception):
    """An SLO can't be converted; the message states the reason, `path` is the field at fault."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(reason)
        self.path = path


@dataclass
class Document:
    """One YAML document. `name` begins its paths where the file has several."""

    data: Any
    name: str = ""
    seen: set[Path] = field(default_factory=set)

    @property
    def root(self) -> "Field":
        """The whole of it."""
        return Field(self.data, (), self)

    def unused(self, reasons: Mapping[str, str]) -> list[Loss]:
        """List every leaf that was not used; the reason is that of the nearest key above it in `reasons`."""
        return [
            Loss(field.where, f"{_shown(field.data)}: {_reason(field.path, reasons)}")
            for field in _leaves(self.root)
            if not any(field.path[: len(used)] == used for used in self.seen)
        ]


@dataclass(frozen=True)
class Field:
    """A place in a document, there or not (then `data` is None)."""

    data: Any
    path: Path
    document: Document

    @property
    def where(self) -> str:
        """Its path as people write it: `document 2, slos[0].sli.events.error_query`."""
        text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path).lstrip(".")
        return printable(", ".join(filter(None, (self.document.name, text or "top level"))))

    def at(self, *keys: str) -> "Field":
        """Return a field below; nothing is used by that."""
        data = self.data
        for key in keys:
            data = data.get(key) if isinstance(data, dict) else None
        return Field(data, (*self.path, *keys), self.document)

    def items(self) -> list["Field"]:
        """Return the elements of a list; nothing for other types."""
        found = self.data if isinstance(self.data, list) else []
        return [Field(data, (*self.path, index), self.document) for index, data in enumerate(found)]

    def use(self) -> Any:
        """Return the data; the field counts as used, with all that is below it."""
        self.document.seen.add(self.path)
        return self.data

    def text(self, default: str | None = None) -> str:
        """Use a text or number as text. Raises UnsupportedFieldError for other types, or if missing without a default."""
        value = self.use()
        if value is None and default is not None:
            return default
        if not isinstance(value, str | int | float) or isinstance(value, bool) or value == "":
            raise UnsupportedFieldError(self.where, "is missing" if value is None else f"{_shown(value)} isn't text")
        return str(value)


def read_documents(text: str) -> list[Document]:
    """Read a file with one or more YAML documents; raises InvalidYamlError."""
    found = [data for data in strict_yaml.load_all(text) if data is not None]
    several = len(found) > 1
    return [Document(data, f"document {number}" if several else "") for number, data in enumerate(found, 1)]


def _leaves(field: Field) -> Iterator[Field]:
    if isinstance(field.data, dict) and field.data:
        for key in field.data:
            yield from _leaves(Field(field.data[key], (*field.path, str(key)), field.document))
    elif isinstance(field.data, list) and field.data:
        for item in field.items():
            yield from _leaves(item)
    elif field.data is not None:
        yield field


def _reason(path: Path, reasons: Mapping[str, str]) -> str:
    return next((reasons[str(key)] for key in reversed(path) if key in reasons), "no equivalent in Plimsoll")


def _shown(value: Any) -> str:
    text = " ".join(str(value).split())
    return repr(text if len(text) <= 60 else text[:57] + "...")
