"""Run only the simulated fleet."""

import argparse

from plimsoll.compose.demo.serve import serve
from plimsoll.compose.inputs import UserError, pool_of, read_objectives

EXTRA = "service"

BASE_PORT = 8100


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "--replicas", type=int, metavar="N", help="Number of replicas (default: the minimum of the pool)."
    )
    parser.add_argument("--pool", metavar="NAME", help="Pool to simulate (default: the first one).")
    parser.add_argument(
        "--port",
        type=int,
        default=BASE_PORT,
        metavar="BASE",
        help="First port; each replica uses the next one (default: %(default)s).",
    )
    parser.add_argument("--objectives", metavar="FILE", help="Objectives file (default: bundled file).")
    parser.add_argument("--seed", type=int, default=1, metavar="S", help="Seed of the traffic (default: %(default)s).")


def run(args: argparse.Namespace) -> int:
    """Serve until interrupted; raises UserError."""
    spec = read_objectives(args.objectives)
    pool = spec.pools[0] if args.pool is None else pool_of(spec, args.pool)
    replicas = max(1, pool.nodes.min) * pool.node.replicas if args.replicas is None else args.replicas
    if replicas < 1:
        raise UserError(f"--replicas: expected 1 or more, got {replicas}.")
    if not 0 < args.port <= 65536 - replicas:
        raise UserError(
            f"--port {args.port}: {replicas} ports from here must all be between 1 and 65535. Use a lower port."
        )
    serve(spec, pool, replicas, args.port, args.seed)
    return 0
