"""Reports of backtests as Markdown tables."""

from typing import Any

Report = dict[str, Any]


def table(reports: list[Report]) -> str:
    """Return one row per policy."""
    goods = [_goods(row) for row in reports]
    heads = ["policy", "TTFT p50/p95/p99 ms", "TPOT p50/p95/p99 ms", *(f"good {name}" for name in goods[0])]
    heads += ["node hours", "USD", "changes", "flaps", "most nodes", "lost + 503"]
    rows = [
        [
            row["policy"],
            _latencies(row["ttft_ms"]),
            _latencies(row["tpot_ms"]),
            *(f"{share:.4f}" for share in good.values()),
            f"{row['node_hours']:.2f}",
            f"{row['cost_usd']:.2f}",
            *(str(row[key]) for key in ("scale_events", "flaps", "most_nodes")),
            str(row["lost"] + row["rejected"]),
        ]
        for row, good in zip(reports, goods, strict=True)
    ]
    return _markdown(heads, rows)


def frontier_table(reports: list[Report]) -> str:
    """Return one row per run, best attainment first; a star marks those that no other beats."""
    heads = [
        "policy",
        "attained",
        "worst day",
        "node hours",
        "of a constant fleet",
        "USD",
        "flaps",
        "most nodes",
        "frontier",
    ]
    rows = [
        [
            row["policy"],
            f"{row['attained']:.4f}",
            f"{row['worst_day']['attained']:.4f} (day {row['worst_day']['day']})",
            f"{row['node_hours']:.2f}",
            "-" if row["vs_constant"] is None else f"{row['vs_constant']:.2f}",
            f"{row['cost_usd']:.2f}",
            str(row["flaps"]),
            str(row["most_nodes"]),
            "*" if row["on_frontier"] else "",
        ]
        for row in reports
    ]
    return _markdown(heads, rows)


def _markdown(heads: list[str], rows: list[list[str]]) -> str:
    lines = (f"| {' | '.join(cells)} |" for cells in rows)
    return "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *lines])


def _goods(report: dict[str, Any]) -> dict[str, float]:
    """Goodput by the pool's objectives, or, without a pool, by common limits."""
    if "objectives" not in report:
        return dict(report["goodput"])
    return {f"{name} ({one['target']:.4g})": one["good"] for name, one in report["objectives"].items()}


def _latencies(values: dict[str, float | None]) -> str:
    return " / ".join("-" if value is None else f"{value:,.0f}" for value in values.values())
