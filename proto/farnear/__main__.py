"""The `farnear` command: finds the subcommands that the installed packages offer, and runs one."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import entry_points, version

from farnear.command import Command, RefusedError
from farnear.errors import FarnearError, UnavailableError

# In the order of a first visit; the keys are the names of the entry points.
_TITLES = {
    "demo": "see it all",
    "training": "learn from images",
    "service": "run a service",
    "client": "ask a service",
}

_START_HINT = "start one with 'farnear serve --data DIR --bundle NAME=PATH', or name another with --address"


def load_commands() -> dict[str, tuple[Command, ...]]:
    """The commands of every entry point of the group `farnear.commands`, under its name.

    An entry point whose module is not installed offers nothing.
    """
    commands: dict[str, tuple[Command, ...]] = {}
    for entry in entry_points(group="farnear.commands"):
        try:
            commands[entry.name] = entry.load()
        except ModuleNotFoundError as error:
            # Only the module itself (or a package it lies in) may be absent: one that it fails to import is a fault.
            if error.name is None or not f"{entry.module}.".startswith(f"{error.name}."):
                raise
    order = [*_TITLES, *sorted(commands.keys() - _TITLES.keys())]
    return {name: commands[name] for name in order if commands.get(name)}


def run(commands: Mapping[str, Sequence[Command]], argv: Sequence[str] | None = None) -> int:
    """Parses the command line and runs the command it names.

    Returns:
        The exit code: the command's own; 1 where it was refused, with one line on stderr; 130 after Ctrl-C.

    Raises:
        SystemExit: With code 2 for wrong usage and 0 for --help and --version, as argparse does.
    """
    arguments = _build_parser(commands).parse_args(argv)
    command: Command = arguments.chosen_command
    try:
        code = command.run(arguments)
        sys.stdout.flush()
    except UnavailableError as error:
        return _refuse(f"no service at {error}; {_START_HINT}")
    except (RefusedError, FarnearError) as error:
        return _refuse(str(error))
    except ModuleNotFoundError as error:
        if command.extra is None or error.name is None or error.name.startswith("farnear"):
            raise
        return _refuse(f"{command.name} needs {error.name}, missing here: pip install 'farnear[{command.extra}]'")
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader, such as `head`, has seen enough; stdout must not fail again when Python flushes it at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the `farnear` command line; see `run`."""
    return run(load_commands(), argv)


def _build_parser(commands: Mapping[str, Sequence[Command]]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="farnear",
        usage="farnear [-h] [--version] COMMAND ...",
        description=_describe(commands),
        epilog="'farnear COMMAND --help' explains a command. Exit code 0: done, 1: refused, 2: wrong usage.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"farnear {version('farnear')}")
    parsers = parser.add_subparsers(prog="farnear", metavar="COMMAND", required=True, help=argparse.SUPPRESS)
    for group in commands.values():
        for command in group:
            subparser = parsers.add_parser(
                command.name, description=command.help, formatter_class=argparse.RawDescriptionHelpFormatter
            )
            command.add_arguments(subparser)
            subparser.set_defaults(chosen_command=command)
    return parser


def _describe(commands: Mapping[str, Sequence[Command]]) -> str:
    lines = ["What is most like an image, what is most unlike it, which cluster it is in, and where that comes from."]
    for name, group in commands.items():
        lines += ["", f"{_TITLES.get(name, name)}:", *(f"  {command.name:12}  {command.help}" for command in group)]
    return "\n".join(lines)


def _refuse(message: str) -> int:
    sys.stderr.write(f"farnear: {' '.join(message.split())}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
