"""Reference page of the objectives file, from the types that read it."""

import inspect
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import NODEFAULT
from msgspec import inspect as types

from plimsoll.compose.reference.markdown import page, table
from plimsoll.slo.spec.objectives import Spec
from plimsoll.slo.spec.pool_match import EVERYTHING
from plimsoll.slo.units import Duration, Target, percent_text

# How people write the types that msgspec hands to a `parse` of ours.
WRITTEN = {
    "Duration": "duration: `600ms`, `5m`, `28d`",
    "Target": "percentage: `99.9%`",
    "Indicator": "indicator: `availability`, `{time_to_first_token: 600ms}`, `{goodput: {ttft: 600ms, tpot: 40ms}}`",
    "Match": "labels: `{region: eu}`, `{region: [eu, us]}`",
    "Window": "window: `28d`, `{calendar: month, timezone: UTC}`",
}


def objectives_page() -> str:
    """Return every field by section: type and default, and what the section's class states about them."""
    sections = [
        f"## {kind.__name__}\n\n{inspect.getdoc(kind)}\n\n" + table(("Field", "Type", "Default"), _fields(kind))
        for kind in _structs(Spec)
    ]
    intro = "The file that `--objectives` names: pools, SLOs and exclusions. Check it with `plimsoll check --objectives FILE`."
    return page("Objectives file", intro, *sections)


def _structs(kind: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """Return a struct and those within it, each once, outermost first."""
    found: dict[type[msgspec.Struct], None] = {}

    def walk(one: types.Type) -> None:
        if isinstance(one, types.StructType) and one.cls not in found:
            found[one.cls] = None
            for field in one.fields:
                walk(field.type)
        elif isinstance(one, types.UnionType):
            for part in one.types:
                walk(part)
        elif isinstance(one, types.VarTupleType | types.ListType):
            walk(one.item_type)
        elif isinstance(one, types.Metadata):
            walk(one.type)

    walk(types.type_info(kind))
    return list(found)


def _fields(kind: type[msgspec.Struct]) -> Iterator[tuple[str, str, str]]:
    for field in types.multi_type_info([kind])[0].fields:  # type: ignore[attr-defined]  # of a struct, which `kind` is
        default = "required" if field.required else _default(field.default)
        yield f"`{field.encode_name}`", _type(field.type), default


def _default(value: Any) -> str:
    if value is NODEFAULT or value is None or value in ((), EVERYTHING):
        return ""
    if isinstance(value, msgspec.Struct):
        return f"`{{{', '.join(_written(value))}}}`"
    if isinstance(value, Target):
        return f"`{percent_text(value)}`"
    return f"`{value}`" if isinstance(value, Duration) or not isinstance(value, float) else f"`{value:g}`"


def _written(value: msgspec.Struct) -> Iterator[str]:
    """Yield the fields of a struct that differ from their own defaults, as the file writes them."""
    for field in msgspec.structs.fields(value):
        if (found := getattr(value, field.name)) != field.default:
            yield f"{field.encode_name}: {found}"


def _type(one: types.Type) -> str:
    text = {"StrType": "text", "IntType": "whole number", "FloatType": "number", "BoolType": "`true` or `false`"}.get(
        type(one).__name__, ""
    )
    match one:
        case types.Metadata():
            text = _type(one.type)
        case types.UnionType():
            text = " or ".join(_type(part) for part in one.types if not isinstance(part, types.NoneType))
        case types.VarTupleType() | types.ListType():
            text = f"list of {_type(one.item_type)}"
        case types.StructType():
            text = f"[{one.cls.__name__}](#{one.cls.__name__.lower()})"
        case types.LiteralType():
            text = " or ".join(f"`{value}`" for value in one.values)
        case types.CustomType():
            text = WRITTEN[one.cls.__name__]
        case types.DateType():
            text = "date: `2026-12-24`"
        case types.DateTimeType():
            text = "time with offset: `2026-11-29T21:38:00Z`"
    return text
