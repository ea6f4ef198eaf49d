"""`plimsoll demo`: simulated replicas with vLLM's metrics pages and API, under recorded-like traffic, on loopback."""

import argparse

from plimsoll.compose.demo.serve import serve
from plimsoll.compose.inputs import UserError, read_objectives

BASE_PORT = 8100


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    parser = subparsers.add_parser("demo", help="run the simulated fleet alone", description=__doc__)
    parser.add_argument("--replicas", type=int, metavar="N", help="default: as many as the first pool has at least")
    parser.add_argument("--port", type=int, default=BASE_PORT, metavar="BASE", help="first port (default: %(default)s)")
    parser.add_argument("--objectives", metavar="FILE", help="objectives file (default: the packaged one)")
    parser.add_argument(
        "--seed", type=int, default=1, metavar="S", help="traffic of another day (default: %(default)s)"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; raises UserError."""
    spec = read_objectives(args.objectives)
    pool = spec.pools[0]
    replicas = pool.nodes.min * pool.node.replicas if args.replicas is None else args.replicas
    if replicas < 1:
        raise UserError(f"--replicas {replicas}: a fleet has at least 1")
    if not 0 < args.port <= 65536 - replicas:
        raise UserError(f"--port {args.port}: {replicas} ports from there on are not all between 1 and 65535")
    serve(spec, replicas, args.port, args.seed)
    return 0
