"""A backtest as a picture: what each policy's users got for its node-hours, and below, over time, what came, how many nodes there were, and
when requests waited. Needs matplotlib (the extra `picture`). The same input gives the same bytes."""

from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO
from itertools import groupby
from math import inf
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from plimsoll.slo.capacity.backtest.run import Backtest
from plimsoll.slo.capacity.simulator.fleet import SCRAPE, Outcome
from plimsoll.slo.units import percent_text

LOOK: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "svg.fonttype": "none",
    "svg.hashsalt": "plimsoll",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#8a8f98",
    "xtick.color": "#4a4f57",
    "ytick.color": "#4a4f57",
}
INK, SOFT = "#1f2328", "#4a4f57"
OURS, OTHERS, DOMINATED = "#0072b2", "#3d434b", "#a9afb8"  # Okabe and Ito's palette for color vision deficiency
DEMAND, WATER, TARGET = "#d5d9df", "#f3b8a4", "#b8470f"
WIDTH, HEAD, TOP, BETWEEN, STRIP, FOOT = 9.0, 0.85, 3.3, 1.2, 0.85, 0.45  # inches
FORESIGHT = "clairvoyant"  # the only policy that knows future arrivals: it does not mark others as dominated
NEAR = 5  # points: closer marks share a label
LETTER, LINE = 5.0, 11.0  # points: size of a label's letter
MILLISECONDS = 1000
UNITS = (
    (5 * 3600.0, 60.0, "minutes"),
    (100 * 3600.0, 3600.0, "hours"),
    (inf, 86400.0, "days"),
)  # (longest span in seconds, seconds per unit, unit of the time axis)

Point = tuple[float, float]
Box = tuple[float, float, float, float]


def drawn(backtest: Backtest, outcomes: Mapping[str, Outcome], source: str, form: str) -> bytes:
    """Draw the policies' outcomes on the traffic of `source`, as `svg` or `png`."""
    low = HEAD + TOP + BETWEEN  # inches from the top: where the strips begin
    height = low + STRIP * len(outcomes) + FOOT
    with mpl.rc_context(LOOK):
        figure = Figure(figsize=(WIDTH, height), facecolor="white")
        box = {"left": 0.08, "right": 0.975}
        top = figure.add_gridspec(1, 1, **box, top=1 - HEAD / height, bottom=1 - (HEAD + TOP) / height)
        _text(figure, 0.28, "Goodput vs. node-hours", fontsize=13, weight="bold", color=INK)
        _text(figure, 0.50, f"Simulated replay of {source}")
        _text(figure, 0.70, f"{_target(backtest)}; hollow: another is better in both, without foresight")
        _compared(figure.add_subplot(top[0]), backtest, outcomes)
        rows = figure.add_gridspec(len(outcomes), 1, **box, top=1 - low / height, bottom=FOOT / height, hspace=0.75)
        strips = [figure.add_subplot(rows[index]) for index in range(len(outcomes))]
        most = max(moment.paid for outcome in outcomes.values() for moment in outcome.timeline)
        _, seconds, unit = next(one for one in UNITS if backtest.arrivals[-1].time <= one[0])
        for axes, (name, outcome) in zip(strips, outcomes.items(), strict=True):
            _over_time(axes, backtest, name, outcome, (most, seconds))
            axes.sharex(strips[0])
            axes.tick_params(labelbottom=axes is strips[-1])
        strips[-1].set_xlabel(unit, color=SOFT)
        _key(figure, strips, height, low)
        written = BytesIO()
        figure.savefig(written, format=form, dpi=160, metadata={"Date": None} if form == "svg" else {"Software": None})
    return written.getvalue()


def _text(figure: Figure, inches: float, text: str, **look: Any) -> None:
    """Write a line, `inches` below the upper edge."""
    figure.text(0.012, 1 - inches / figure.get_figheight(), text, **{"color": SOFT, **look})


def _target(backtest: Backtest) -> str:
    ttft, tpot = (f"{MILLISECONDS * limit:g}" for limit in (backtest.target.ttft, backtest.target.tpot))
    return f"good: first token within {ttft} ms, further ones every {tpot} ms".replace("within inf ms", "at any time")


def _key(figure: Figure, strips: Sequence[Axes], height: float, low: float) -> None:
    """Write the legend of the strips between the two parts."""
    found = {name: line for axes in strips for line, name in zip(*axes.get_legend_handles_labels(), strict=True)}
    at = (0.975, 1 - (low - 0.36) / height)
    figure.legend(
        list(found.values()),
        list(found),
        loc="center right",
        bbox_to_anchor=at,
        ncols=4,
        frameon=False,
        handlelength=1.6,
    )
    _text(figure, low - 0.33, "Nodes over time", weight="bold", fontsize=10.5, color=INK)


def _goodput(backtest: Backtest, outcome: Outcome) -> float:
    return outcome.result.goodput(backtest.target.ttft, backtest.target.tpot)


def _compared(axes: Axes, backtest: Backtest, outcomes: Mapping[str, Outcome]) -> None:
    """Plot goodput by node-hours of every policy; dominated policies are hollow."""
    marks = {name: (outcome.node_hours, _goodput(backtest, outcome)) for name, outcome in outcomes.items()}
    target = backtest.target.target
    axes.set_xlim(0, 1.12 * max(hours for hours, _ in marks.values()))
    lowest = min(target, *(good for _, good in marks.values()))
    below = max(0.0, lowest - max(0.2 * (1 - lowest), 0.005))
    axes.set_ylim(below, 1 + 0.06 * (1 - below))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.4g} %" if value <= 1 + 1e-9 else "")
    axes.grid(axis="y", color="#eceef1")
    axes.set_axisbelow(True)
    axes.axhline(target, color=TARGET, linestyle=(0, (4, 3)), linewidth=1)
    axes.annotate(f"target {percent_text(target)}", (0, target), (4, -10), textcoords="offset points", color=TARGET)
    for name, point in marks.items():
        color = _color(name, point, [found for other, found in marks.items() if other != FORESIGHT])
        hollow = color == DOMINATED
        axes.plot(
            *point, "o", markersize=8, color=color, markerfacecolor="white" if hollow else color, markeredgewidth=1.5
        )
    axes.set_xlabel("node-hours (left is cheaper)", color=SOFT)
    _label(axes, marks)


def _color(name: str, point: Point, points: Sequence[Point]) -> str:
    if any(hours <= point[0] and good >= point[1] and (hours, good) != point for hours, good in points):
        return DOMINATED
    return OURS if name == "plimsoll" else OTHERS


def _label(axes: Axes, marks: Mapping[str, Point]) -> None:
    """Write the name of each mark at the first position beside it that overlaps no mark and no other name."""
    axes.figure.canvas.draw()  # sets the positions of the marks
    by_point = 72 / axes.figure.dpi
    spots = {name: tuple(by_point * axes.transData.transform(point)) for name, point in marks.items()}
    room = tuple(by_point * float(edge) for edge in axes.get_window_extent().extents)
    taken: list[Box] = [(x - 5, y - 5, x + 5, y + 5) for x, y in spots.values()]
    for names in _together(spots):
        x, y = spots[names[0]]
        wide = LETTER * len(text := ", ".join(names))
        places = [
            (8, -4),
            (-8 - wide, -4),
            (-wide / 2, 8),
            (-wide / 2, -16),
            (8, 6),
            (8, -15),
            (-8 - wide, 6),
            (-8 - wide, -15),
        ]
        boxes = {place: (x + place[0], y + place[1], x + place[0] + wide, y + place[1] + LINE) for place in places}
        free = (at for at in places if _inside(boxes[at], room) and not any(_touch(boxes[at], box) for box in taken))
        place = next(free, places[0])
        taken.append(boxes[place])
        axes.annotate(
            text,
            marks[names[0]],
            place,
            textcoords="offset points",
            color=OURS if "plimsoll" in names else INK,
            weight="bold" if "plimsoll" in names else "normal",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
        )


def _together(spots: Mapping[str, Sequence[float]]) -> list[list[str]]:
    """Names of marks that lie upon each other."""
    groups: list[list[str]] = []
    for name, (x, y) in spots.items():
        near = (group for group in groups if abs(spots[group[0]][0] - x) + abs(spots[group[0]][1] - y) < NEAR)
        found = next(near, None)
        groups.append([name]) if found is None else found.append(name)
    return groups


def _inside(one: Box, room: Sequence[float]) -> bool:
    return room[0] <= one[0] and room[1] <= one[1] and one[2] <= room[2] and one[3] <= room[3]


def _touch(one: Box, other: Box) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def _over_time(axes: Axes, backtest: Backtest, name: str, outcome: Outcome, scale: tuple[int, float]) -> None:
    """Plot the nodes of a policy over time and the demand; shaded while requests waited. `scale`: most nodes, seconds per time unit."""
    most, unit = scale
    times = [moment.time / unit for moment in outcome.timeline]
    came = _requests(backtest, len(times))
    each, peak = (most + 0.5) / max(came), max(came) / SCRAPE
    axes.fill_between(
        times,
        [each * count for count in came],
        step="post",
        color=DEMAND,
        linewidth=0,
        label=f"requests that came (to {peak:.3g}/s)",
    )
    for index, (begin, end) in enumerate(_under_water(outcome)):
        axes.axvspan(
            begin / unit, end / unit, color=WATER, linewidth=0, alpha=0.65, label="_" * index + "requests waited"
        )
    paid, serving = ([getattr(moment, what) for moment in outcome.timeline] for what in ("paid", "serving"))
    axes.step(times, paid, where="post", color=OTHERS, linewidth=0.8, linestyle=(0, (1, 1.2)), label="nodes paid")
    axes.step(times, serving, where="post", color=OURS, linewidth=1.5, label="nodes that serve")
    axes.set_ylim(0, most + 0.5)
    axes.set_yticks([0, most])
    axes.set_xlim(0, max(times[-1], SCRAPE / unit))
    axes.set_title(name, loc="left", fontsize=9, weight="bold", color=INK, pad=3)
    flaps = f"{outcome.direction_changes} flap{'' if outcome.direction_changes == 1 else 's'}"
    figures = f"{_goodput(backtest, outcome):.2%} good · {outcome.node_hours:.2f} node-hours · {outcome.node_hours * backtest.node_usd:,.2f} USD · {flaps}"
    axes.set_title(figures, loc="right", fontsize=8.5, color=SOFT, pad=3)


def _requests(backtest: Backtest, slots: int) -> list[int]:
    """Requests that came after each scrape."""
    counts = [0] * slots
    for arrival in backtest.arrivals:
        counts[min(int(arrival.time // SCRAPE), slots - 1)] += 1
    return counts


def _under_water(outcome: Outcome) -> Iterator[Point]:
    for waits, run in groupby(outcome.timeline, key=lambda moment: moment.waiting > 0):
        times = [moment.time for moment in run]
        if waits:
            yield times[0] - SCRAPE, times[-1]
