"""Show SLOs and pools of a running service in the terminal, refreshed: budget, burn rate, queue, recommendation."""

import argparse
import json
import os
import shutil
import sys
import time
from typing import Any

from plimsoll.compose.inputs import UserError
from plimsoll.compose.live.service_client import add_reading, read
from plimsoll.compose.live.top_view import lines, overview

EXTRA = "service"

HOME, CLEAR_REST, CLEAR_LINE = "\x1b[H", "\x1b[J", "\x1b[K"
ENTER, LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # another screen without a cursor, and back


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--interval", type=float, default=5.0, metavar="SECONDS", help="time between refreshes (default: %(default)s)"
    )
    parser.add_argument(
        "--once", action="store_true", help="print once and end; the default where stdout isn't a terminal"
    )
    add_reading(parser)


def run(args: argparse.Namespace) -> int:
    """Print once, or refresh until Ctrl-C; raises UserError."""
    if not 0 < args.interval <= 3600:
        raise UserError(f"--interval: expected seconds above 0 and up to 3600, got {args.interval:g}.")
    found = _read(args)
    if args.json:
        print(json.dumps(found, indent=2))
    elif args.once or not sys.stdout.isatty():
        color = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        print("\n".join(lines(found, args.service_url, shutil.get_terminal_size().columns if color else 10_000, color)))
    else:
        _refresh(args, found)
    return 0


def _read(args: argparse.Namespace) -> dict[str, Any]:
    pools = [one["name"] for one in read(args, "pools")["pools"]]
    return overview(read(args, "slos"), [read(args, "pools", name, "recommendation") for name in pools])


def _refresh(args: argparse.Namespace, found: dict[str, Any]) -> None:
    """Draw until Ctrl-C. Where the service can't be read, the last figures stay, with the reason and their time."""
    problem = ""
    sys.stdout.write(ENTER)
    try:
        while True:
            _draw(args, found, problem)
            time.sleep(args.interval)
            try:
                found, problem = _read(args), ""
            except UserError as error:
                problem = f"Not refreshed: {error}"
    except KeyboardInterrupt:
        return
    finally:
        sys.stdout.write(LEAVE)
        sys.stdout.flush()


def _draw(args: argparse.Namespace, found: dict[str, Any], problem: str) -> None:
    size = shutil.get_terminal_size()
    screen = list(lines(found, args.service_url, size.columns, not os.environ.get("NO_COLOR")))
    last = [problem[: size.columns]] if problem else []
    room = max(1, size.lines - 1 - len(last))
    if len(screen) > room:
        screen[room - 1 :] = [
            f"{len(screen) - room + 1} more lines: enlarge the terminal, or use --once"[: size.columns]
        ]
    # Overwritten rather than cleared first, which would flicker.
    sys.stdout.write(HOME + "".join(f"{line}{CLEAR_LINE}\n" for line in (*screen, *last)) + CLEAR_REST)
    sys.stdout.flush()
