"""The `plimsoll` command. A command is a module in compose/commands; it is imported only when it is asked for."""

import argparse
import sys
from importlib.metadata import version

from plimsoll.compose.inputs import UserError, needed

# Command -> its module and the extra that it needs installed (None: what every GPU node has).
COMMANDS: dict[str, tuple[str, str | None]] = {
    "up": ("plimsoll.compose.commands.up", "service"),
    "export": ("plimsoll.compose.commands.export", None),
    "serve": ("plimsoll.compose.commands.serve", "service"),
    "ledger": ("plimsoll.compose.commands.ledger", "parquet"),
    "token": ("plimsoll.compose.commands.token", None),
    "build": ("plimsoll.compose.commands.build", "build"),
    "check": ("plimsoll.compose.commands.check", None),
    "vllm-args": ("plimsoll.compose.commands.vllm_args", None),
    "import": ("plimsoll.compose.commands.import_objectives", "build"),
    "export-openslo": ("plimsoll.compose.commands.export_openslo", "build"),
    "backtest": ("plimsoll.compose.commands.backtest", None),
    "whatif": ("plimsoll.compose.commands.whatif", None),
    "calibrate": ("plimsoll.compose.commands.calibrate", "service"),
    "review": ("plimsoll.compose.commands.review", "service"),
    "probe": ("plimsoll.compose.commands.probe", None),
    "demo": ("plimsoll.compose.commands.demo", "service"),
}
SUMMARIES = {
    "up": "start the whole stack on this machine: demo fleet or real engines, exporter, SLO service",
    "export": "serve one node's engine and GPU metrics as one normalized page",
    "serve": "run the SLO service: ledger, budgets, recommendations, API and pages",
    "ledger": "export and import the ledger as Parquet files, to move or to keep it",
    "token": "make a token for the SLO service: printed once, only its hash is kept",
    "build": "write alert rules, Alertmanager configuration and dashboards from the objectives",
    "check": "say what is wrong with an objectives file",
    "vllm-args": "print the vLLM arguments that make every limit exact",
    "import": "take objectives from a file of Sloth, Pyrra or OpenSLO",
    "export-openslo": "write the objectives as OpenSLO v1",
    "backtest": "replay recorded traffic under a scaling policy: latencies, goodput, node-hours, cost",
    "whatif": "what another GPU, mix or rate would mean: memory step by step, requests per second, nodes, cost",
    "calibrate": "how long a pool's steps take, fitted to its own metrics in a Prometheus",
    "review": "fetch a week's capacity review from the SLO service into a file",
    "probe": "ask an OpenAI-compatible server once and say what a client sees",
    "demo": "run the simulated fleet alone",
}


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns its exit status. Bad input is one line on stderr and status 2."""
    try:
        options = parse(sys.argv[1:] if argv is None else argv)
        status: int = options.run(options)
        return status
    except UserError as error:
        print(f"plimsoll: {error}", file=sys.stderr)
        return 2


def parse(arguments: list[str]) -> argparse.Namespace:
    """Read a command line; its `run` does the command. Only the chosen command's module is imported."""
    parser = argparse.ArgumentParser(
        prog="plimsoll",
        description="The load line for self-hosted LLM fleets: how much more can it carry, and for how long.",
    )
    parser.add_argument("--version", action="version", version=f"plimsoll {version('plimsoll-slo')}")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    chosen = next((word for word in arguments if word in COMMANDS), None)
    for name, (module, extra) in COMMANDS.items():
        if name == chosen:
            needed(module, extra).add_parser(subparsers)
        else:
            subparsers.add_parser(name, help=SUMMARIES[name])
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
