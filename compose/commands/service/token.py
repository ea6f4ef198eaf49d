"""Create an API token.

Prints the token on stderr, for its holder, and the line for the token file of `plimsoll serve` on stdout, or appends it.
"""

import argparse
import os
import sys
from pathlib import Path

from plimsoll.compose.inputs import UserError
from plimsoll.compose.listen import read_private
from plimsoll.slo.service.tokens import new_token, read_tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("name", metavar="NAME", help="name of the holder: lowercase letters, digits, and hyphens")
    parser.add_argument("scope", choices=("read", "write"), help="the write scope includes read")
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="append the line to this file instead of printing it; a new file gets mode 0600",
    )


def run(args: argparse.Namespace) -> int:
    """Print the token on stderr, once, and its stored form on stdout or into the file."""
    try:
        text, made = new_token(args.name, args.scope)
    except ValueError as error:
        raise UserError(f"{args.name!r} isn't a valid name. Use lowercase letters, digits, and hyphens.") from error
    if args.token_file:
        _append(Path(args.token_file), str(made))
    print(f"Token of {made.name} (shown only once): {text}", file=sys.stderr)
    if not args.token_file:
        print(made)
    return 0


def _append(file: Path, line: str) -> None:
    """Append a line to a token file that no one else may read; raises UserError."""
    try:
        with os.fdopen(os.open(file, os.O_CREAT | os.O_RDWR | os.O_APPEND, 0o600), "r+", encoding="utf-8") as stream:
            text = read_private(file)
            read_tokens(text)  # a file of something else stays as it is
            stream.write(f"{line}\n" if not text or text.endswith("\n") else f"\n{line}\n")
    except (OSError, ValueError) as error:
        raise UserError(f"--token-file {file}: {error}") from error
