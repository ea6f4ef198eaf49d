"""Create an API token.

Prints the token on stderr, for its holder, and the line for the token file of `plimsoll serve` on stdout.
"""

import argparse
import sys

from plimsoll.compose.inputs import UserError
from plimsoll.slo.service.tokens import new_token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="name of the holder: lowercase letters, digits, and hyphens")
    parser.add_argument("scope", choices=("read", "write"), help="the write scope includes read")


def run(args: argparse.Namespace) -> int:
    """Print the token on stderr, once, and its stored form on stdout."""
    try:
        text, made = new_token(args.name, args.scope)
    except ValueError as error:
        raise UserError(f"{args.name!r} isn't a valid name. Use lowercase letters, digits, and hyphens.") from error
    print(f"Token of {made.name} (shown only once): {text}", file=sys.stderr)
    print(made)
    return 0
