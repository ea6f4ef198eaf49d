"""`plimsoll token`: make a token for the SLO service."""

import argparse
import sys

from plimsoll.compose.inputs import UserError
from plimsoll.slo.service.tokens import new_token


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Declare the command."""
    about = "The token goes to its holder, the line on stdout into the file that `plimsoll serve --tokens` reads."
    parser = subparsers.add_parser("token", help="make a token for the SLO service", description=about)
    parser.add_argument("name", metavar="NAME", help="whose token it is: lower case letters, digits and hyphens")
    parser.add_argument("scope", choices=("read", "write"), help="write allows reading too")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Print the token once, on stderr, and what is kept of it on stdout."""
    try:
        text, made = new_token(args.name, args.scope)
    except ValueError as error:
        raise UserError(f"{args.name!r} is not a name; write lower case letters, digits and hyphens") from error
    print(f"Token of {made.name} (shown only now): {text}", file=sys.stderr)
    print(made)
    return 0
