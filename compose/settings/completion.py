"""Completion of a command line in the shell, by argcomplete."""

import argparse

import argcomplete


def complete(parser: argparse.ArgumentParser) -> None:
    """Write what completes the line that the shell is at, and end the process."""
    argcomplete.autocomplete(parser, always_complete_options="long")
