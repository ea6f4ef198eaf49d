"""Control which GPUs a running exporter expects and holds.

`list` shows the expected GPUs. `forget` ends the wait for a GPU that was removed on purpose. `pause` makes the exporter close
the devices, for a GPU reset, a MIG reconfiguration, or passing a GPU to a virtual machine; `resume` ends the pause. All use the
exporter's state folder.
"""

import argparse
import time
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.exporters.nvml.requests import Requests
from plimsoll.exporters.nvml.state import FILE, GpuState, StateError
from plimsoll.slo.units import Duration

WAIT_SECONDS = 120.0  # an exporter acts at its next scrape
MAX_PAUSE_SECONDS = 86400.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("action", choices=("list", "forget", "pause", "resume"), help="what to do")
    parser.add_argument("uuid", nargs="?", metavar="UUID", help="GPU to forget, as shown by `list`")
    parser.add_argument(
        "--state-dir", type=Path, required=True, metavar="DIR", help="State folder of the exporter (its --state-dir)."
    )
    parser.add_argument(
        "--for", dest="pause", default="15m", metavar="TIME", help="Length of the pause (default: %(default)s)."
    )


def run(args: argparse.Namespace) -> int:
    """Run the action; raises UserError."""
    if not (args.state_dir / FILE).is_file():
        raise UserError(
            f"--state-dir {args.state_dir}: no exporter stores its GPUs there. Use the exporter's --state-dir."
        )
    if (args.action == "forget") != (args.uuid is not None):
        raise UserError("UUID: give it with `forget`, and only there.")
    requests = Requests(args.state_dir)
    try:
        if args.action == "list":
            _list(args.state_dir)
        elif args.action == "forget":
            _forget(requests, args.state_dir, args.uuid)
        elif args.action == "pause":
            return _pause(requests, _seconds(args.pause))
        else:
            requests.resume()
    except OSError as error:
        raise UserError(f"--state-dir {args.state_dir}: {error.strerror}. Run as the exporter's user.") from error
    return 0


def _gpus(folder: Path) -> dict[str, dict[str, str]]:
    try:
        return GpuState.stored(folder)
    except StateError as error:
        raise UserError(str(error)) from error


def _list(folder: Path) -> None:
    for uuid, info in sorted(_gpus(folder).items(), key=lambda item: item[1].get("pci_bus_id", "")):
        print(f"{uuid}  {info.get('pci_bus_id', '')}  {info.get('name', '')}")


def _forget(requests: Requests, folder: Path, uuid: str) -> None:
    known = _gpus(folder)
    if uuid not in known:
        raise UserError(
            f"UUID: {uuid!r} isn't expected on this node. Use one of: {', '.join(sorted(known)) or 'none'}."
        )
    requests.forget(uuid)
    print(f"{uuid}: the exporter forgets it at its next scrape. It is expected again if it responds.")


def _pause(requests: Requests, seconds: float) -> int:
    until = time.time() + seconds
    requests.pause(until)
    print(f"Pausing until {time.strftime('%H:%M:%S', time.localtime(until))}. Waiting for the exporter's next scrape.")
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        if requests.released():
            print("The exporter has closed the GPUs. Run `plimsoll gpus resume` when done.")
            return 0
        time.sleep(0.2)
    print("The exporter hasn't closed the GPUs. Is it running with this --state-dir, and is it scraped?")
    return 1


def _seconds(text: str) -> float:
    try:
        seconds = float(Duration.parse(text))
    except ValueError as error:
        raise UserError(f"--for: {error}") from error
    if not 0 < seconds <= MAX_PAUSE_SECONDS:
        raise UserError("--for: use a time above 0 and up to 1d.")
    return seconds
