"""The kinds of panel that the dashboards use, with their defaults.

Only this module imports grafanalib, whose defaults mislead: a stat shows the mean of the range, a missing number reads `none`.
Colors are Okabe and Ito's palette for color vision deficiency ("Color Universal Design", 2008), with one meaning each.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from grafanalib import core
from grafanalib._gen import DashboardEncoder

from plimsoll.dashboards.normalize import normalize
from plimsoll.slo.links import panel_id

BLUE, ORANGE, GREEN, PINK = "#0072B2", "#E69F00", "#009E73", "#CC79A7"
SKY, VERMILLION, YELLOW = "#56B4E9", "#D55E00", "#F0E442"
GREY = "#8E8E8E"
GOOD, WARN, BAD, NEUTRAL = GREEN, ORANGE, VERMILLION, SKY
SERIES = (SKY, ORANGE, PINK, GREEN, YELLOW, BLUE, VERMILLION)

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


class Query(NamedTuple):
    """One query of a panel and the name of its series."""

    expr: str
    legend: str = ""


class Step(NamedTuple):
    """A threshold: the color of values from `value` upwards."""

    value: float
    color: str


class Text(NamedTuple):
    """The text and color that replace a number."""

    text: str
    color: str


class Section(NamedTuple):
    """A titled part of a dashboard: rows of panels of equal width, each with its height in grid units of 30 px."""

    title: str
    rows: Sequence[tuple[int, Sequence[core.Panel]]]


def stat(title: str, description: str, queries: Sequence[Query], **look: Any) -> core.Panel:
    """Return a panel with each query's current value, colored by `steps` or `texts`.

    The query is instant: the last value of a range could be hours old.
    """
    return core.Stat(
        **_panel(title, description, queries, instant="time_series"),
        reduceCalc="lastNotNull",
        colorMode=look.pop("fill", "value"),
        graphMode="none",
        textMode="value_and_name" if any(query.legend for query in queries) else "value",
        thresholds=_steps(look.pop("steps", ()), look.pop("base", NEUTRAL)),
        extraJson=_field({"color": {"mode": "thresholds"}}, look),
    )


def graph(title: str, description: str, queries: Sequence[Query], **look: Any) -> core.Panel:
    """Return a panel with lines over time. Gaps stay gaps; `limits` are dashed lines.

    `many` lines get a table as legend, worst first: the highest value or, where `low` is bad, the lowest.
    `log` suits latency: a burst to 8 s must not hide the difference between 0.5 s and a threshold of 0.6 s.
    """
    limits = sorted(look.pop("limits", ()))
    many, worst, log = look.pop("many", False), "min" if look.pop("low", False) else "max", look.pop("log", False)
    custom: dict[str, Any] = {
        "lineWidth": 1 if many else 2,
        "fillOpacity": look.pop("fill", 0),
        "showPoints": "never",
        "axisBorderShow": False,
        "thresholdsStyle": {"mode": "dashed" if limits else "off"},
    }
    if not log:
        # Without it, an axis with only zeros ends at 100, or at 10,000%.
        low_end = 0.01 if look["unit"] == "percentunit" else 1
        custom["axisSoftMax"] = look["max"] if "max" in look else limits[-1] * 1.1 if limits else low_end
    elif limits:
        custom["axisSoftMax"] = limits[-1] * 1.1
    return core.TimeSeries(
        **_panel(title, description, queries),
        drawStyle="bars" if look.pop("bars", False) else "line",
        stacking={"mode": "normal" if look.pop("stack", False) else "none", "group": "A"},
        thresholds=_steps([Step(limit, BAD) for limit in limits], "transparent"),
        tooltipMode="multi",
        tooltipSort="desc",
        legendDisplayMode="table" if many else "list",
        legendPlacement="right" if many == "wide" else "bottom",
        legendCalcs=["lastNotNull", worst] if many else [],
        scaleDistributionType="log" if log else "linear",
        extraJson=_field({"color": {"mode": "palette-classic"}, "min": None if log else 0, "custom": custom}, look)
        | ({"options": {"legend": {"sortBy": worst.capitalize(), "sortDesc": worst == "max"}}} if many else {}),
    )


def timeline(title: str, description: str, queries: Sequence[Query], **look: Any) -> core.Panel:
    """Return a panel with one bar per series, whose color is its state, named by `texts`."""
    options = {"options": {"showValue": "auto", "tooltip": {"mode": "single"}, "legend": {"showLegend": False}}}
    return core.StateTimeline(
        **_panel(title, description, queries),
        rowHeight=0.8,
        thresholds=_steps((), NEUTRAL),
        extraJson=_field({"color": {"mode": "thresholds"}}, look) | options,
    )


def table(title: str, description: str, columns: Mapping[str, str], by: str, **look: Any) -> core.Panel:
    """Return a table with one row per value of the label `by` (headed `heading`) and one column per query of `columns`."""
    names = {f"Value #{chr(65 + index)}": heading for index, heading in enumerate(columns)}
    organize = {
        "excludeByName": {"Time": True},
        "renameByName": names | {by: look.pop("heading")},
        "indexByName": {name: index for index, name in enumerate((by, *names))},
    }
    return core.Table(
        **_panel(title, description, [Query(expr) for expr in columns.values()], instant="table"),
        transformations=[{"id": "merge", "options": {}}, {"id": "organize", "options": organize}],
        thresholds=_steps((), NEUTRAL),
        extraJson=_field({"color": {"mode": "thresholds"}}, look),
    )


def override(name: str, matcher: str = "byName", **properties: Any) -> dict[str, Any]:
    """Return an override for the series or column of that name, or for the query of that letter (`byFrameRefID`)."""
    listed = [{"id": key.replace("__", "."), "value": value} for key, value in properties.items()]
    return {"matcher": {"id": matcher, "options": name}, "properties": listed}


def steps_of(steps: Sequence[Step], base: str = GOOD) -> dict[str, Any]:
    """Return thresholds for an override."""
    return {"mode": "absolute", "steps": _steps(steps, base)}


def variable(name: str, label: str, query: str, **rest: Any) -> core.Template:
    """Return a query variable with multiple choice and All, refreshed when the time range changes."""
    settings = {"includeAll": True, "multi": True, "refresh": 2, "sort": 1, "dataSource": DATASOURCE}
    return core.Template(name=name, label=label, query=query, **(settings | rest))


def datasource(name: str, label: str, kind: str) -> core.Template:
    """Return a variable for the data sources of a kind."""
    return core.Template(name=name, label=label, type="datasource", query=kind)


def choice(name: str, label: str, values: Sequence[str]) -> core.Template:
    """Return a variable with fixed values."""
    template = core.Template(
        name=name, label=label, query=",".join(values), type="custom", includeAll=True, multi=True, allValue=".*"
    )
    template.options = [{"selected": False, "text": value, "value": value} for value in values]
    return template


def annotation(name: str, expr: str, color: str, title: str, tags: str) -> dict[str, Any]:
    """Return an annotation that marks the times at which a query is above zero."""
    return {
        "name": name,
        "datasource": DATASOURCE,
        "enable": True,
        "hide": False,
        "iconColor": color,
        "expr": expr,
        "step": "30s",
        "titleFormat": title,
        "tagKeys": tags,
    }


def dashboard(uid: str, title: str, description: str, **parts: Any) -> dict[str, Any]:
    """Return a dashboard's JSON data. Parts: `sections`, `variables`, `annotations`, `links` and `default_links`.

    A panel without its own link gets `default_links`.
    """
    found = core.Dashboard(
        uid=uid,
        title=title,
        description=description,
        tags=["plimsoll"],
        editable=False,
        graphTooltip=core.GRAPH_TOOLTIP_MODE_SHARED_CROSSHAIR,
        refresh="30s",
        time=core.Time("now-3h", "now"),
        timezone="browser",
        version=1,
        templating=core.Templating(parts["variables"]),
        annotations=core.Annotations(parts["annotations"]),
        links=[_dashboard_link(one) for one in parts["links"]],
        panels=_linked(_place(parts["sections"]), parts["default_links"]),
    )
    return normalize(json.loads(json.dumps(found, cls=DashboardEncoder)))


def _linked(placed: list[core.Panel], default: Sequence[dict[str, Any]]) -> list[core.Panel]:
    for panel in placed:
        if not isinstance(panel, core.RowPanel):
            defaults = panel.extraJson["fieldConfig"]["defaults"]
            defaults["links"] = defaults["links"] or list(default)
    return placed


def _dashboard_link(one: dict[str, Any]) -> core.DashboardLink:
    inside = one["url"].startswith("/")
    return core.DashboardLink(
        type="link",
        title=one["title"],
        uri=one["url"].partition("?")[0] if inside else one["url"],
        icon="dashboard" if inside else "external link",
        keepTime=inside,
        includeVars=inside,
        targetBlank=not inside,
    )


def _panel(title: str, description: str, queries: Sequence[Query], instant: str = "") -> dict[str, Any]:
    targets = [
        core.Target(
            expr=query.expr,
            legendFormat=query.legend or "__auto",
            refId=chr(65 + index),
            instant=bool(instant),
            format=instant or "time_series",
            datasource=DATASOURCE,
        )
        for index, query in enumerate(queries)
    ]
    return {
        "title": title,
        "description": description,
        "id": panel_id(title),
        "dataSource": DATASOURCE,
        "targets": targets,
    }


def _field(defaults: dict[str, Any], look: dict[str, Any]) -> dict[str, Any]:
    """Return the field settings of a panel: unit, text for no data, links, and colors by series name or query."""
    defaults |= {
        "unit": look.pop("unit"),
        "noValue": look.pop("no_data"),
        "links": look.pop("links", []),
        "mappings": _mappings(look.pop("texts", {})),
    }
    defaults |= {key: look.pop(key) for key in ("min", "max", "decimals") if key in look}
    colors: Mapping[str, str] = look.pop("colors", {})
    fixed = [override(name, color=_fixed(color)) for name, color in colors.items()]
    fixed += [
        override(chr(65 + index), "byFrameRefID", color=_fixed(color))
        for index, color in enumerate(look.pop("query_colors", ()))
    ]
    overrides = [*fixed, *look.pop("overrides", ())]
    if look:
        raise TypeError(f"unknown settings {sorted(look)}")
    return {"fieldConfig": {"defaults": defaults, "overrides": overrides}}


def _fixed(color: str) -> dict[str, str]:
    return {"mode": "fixed", "fixedColor": color}


def _mappings(texts: Mapping[float, Text]) -> list[dict[str, Any]]:
    options = {
        f"{value:g}": {"text": text.text, "color": text.color, "index": index}
        for index, (value, text) in enumerate(texts.items())
    }
    return [{"type": "value", "options": options}] if options else []


def _steps(steps: Sequence[Step], base: str) -> list[dict[str, Any]]:
    return [{"color": base, "value": None}, *({"color": step.color, "value": step.value} for step in sorted(steps))]


def _place(sections: Sequence[Section]) -> list[core.Panel]:
    """Set every panel's position, top to bottom; a section without a title has no heading."""
    placed: list[core.Panel] = []
    y = 0
    for section in sections:
        if section.title:
            grid = core.GridPos(h=1, w=24, x=0, y=y)
            placed.append(core.RowPanel(title=section.title, id=panel_id(section.title), gridPos=grid))
            y += 1
        for height, panels in section.rows:
            width = 24 // len(panels)
            for index, panel in enumerate(panels):
                panel.gridPos = core.GridPos(h=height, w=width, x=index * width, y=y)
                placed.append(panel)
            y += height
    return placed
