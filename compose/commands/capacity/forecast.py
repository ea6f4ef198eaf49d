"""Backtest the demand forecast on a recorded trace: each day from the hours before it."""

import argparse
import json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from plimsoll.compose.inputs import UserError, needed
from plimsoll.compose.live.service_client import table
from plimsoll.compose.traffic import moment, read_trace
from plimsoll.slo.capacity.simulator.traces import UNITS
from plimsoll.slo.spec.holidays import Holidays

EXTRA = "service"
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--trace",
        required=True,
        metavar="FILE",
        help="recorded requests of 4 days or more, in a format of `plimsoll backtest`",
    )
    parser.add_argument("--timestamp-unit", choices=UNITS, help="unit of the timestamps of JSON lines")
    parser.add_argument(
        "--starts-at",
        metavar="TIME",
        help="when the trace begins, such as 2026-11-02T00:00:00Z, as traces have no date (default: midnight UTC of a Monday)",
    )
    parser.add_argument(
        "--holidays",
        metavar="REGION",
        help="country or subdivision, such as DE or US-CA: compare with and without; needs --starts-at",
    )
    parser.add_argument("--timezone", default="UTC", metavar="ZONE", help="in which days begin (default: UTC)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the errors; raises UserError."""
    if args.holidays and args.starts_at is None:
        raise UserError("--holidays requires --starts-at TIME: a trace has no date.")
    start = BEGIN.timestamp() if args.starts_at is None else moment("--starts-at", args.starts_at)
    model = needed("plimsoll.slo.capacity.backtest.rolling_origin", "forecast")
    tokens = model.tokens_by_slot(read_trace(args.trace, 1.0, args.timestamp_unit), start)
    calendars = {"no calendar": model.USUAL} | _calendar(args, model)
    rows: list[dict[str, Any]] = []
    for name, special in calendars.items():
        try:
            season, errors = model.rolling_errors(tokens, special)
        except ValueError as error:
            raise UserError(f"--trace {args.trace}: {error}.") from error
        rows += [{"calendar": name, **asdict(one)} for one in errors]
    print(json.dumps({"season": season, "errors": rows}, indent=2) if args.json else _text(season, rows))
    return 0


def _calendar(args: argparse.Namespace, model: Any) -> dict[str, Any]:
    if args.holidays is None:
        return {}
    try:
        return {args.holidays: model.SpecialHours(Holidays(args.holidays, args.timezone))}
    except ValueError as error:
        raise UserError(f"--holidays: {error}") from error


def _text(season: str, rows: list[dict[str, Any]]) -> str:
    head = f"Each day forecast from the hours before it; season of the model: {season}. Demand: tokens/s of each hour's busiest 5 minutes."
    cells = [
        (
            row["calendar"],
            row["method"],
            str(row["hours"]),
            *(_percent(row[name]) for name in ("mape", "wape", "pinball", "coverage")),
        )
        for row in rows
    ]
    return f"{head}\n{table(('CALENDAR', 'METHOD', 'HOURS', 'MAPE', 'WAPE', 'PINBALL', 'IN 80% BAND'), cells)}"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
