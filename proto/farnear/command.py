"""One subcommand of the `farnear` command line.

Every package offers its own through the entry-point group `farnear.commands`: an attribute holding a tuple of
`Command`. The modules that define commands stay light; what a command needs is imported when it runs.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass


class RefusedError(Exception):
    """The command was understood and refused: its message goes to stderr as one line, the exit code is 1."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A subcommand: what it is called, how its arguments are declared, and what it does.

    `run` gets the parsed arguments and returns the exit code; it raises `RefusedError` to end with code 1 and one line.
    `extra` is the extra of the distribution that brings what `run` imports, for the hint where it is missing.
    """

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], int]
    extra: str | None = None


def group(*, name: str, help: str, actions: Sequence[Command], examples: str, extra: str | None = None) -> Command:
    """A subcommand with subcommands of its own, one of which must be named: `farnear collections list`."""

    def add_arguments(parser: argparse.ArgumentParser) -> None:
        parsers = parser.add_subparsers(metavar="ACTION", required=True)
        for action in actions:
            subparser = parsers.add_parser(
                action.name,
                help=action.help,
                description=action.help,
                formatter_class=argparse.RawDescriptionHelpFormatter,
            )
            action.add_arguments(subparser)
            subparser.set_defaults(chosen_action=action)
        parser.epilog = examples

    def run(arguments: argparse.Namespace) -> int:
        action: Command = arguments.chosen_action
        return action.run(arguments)

    return Command(name=name, help=help, add_arguments=add_arguments, run=run, extra=extra)
