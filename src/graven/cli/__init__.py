"""The command line: ``graven ops``, ``recover``, ``worker`` and ``demo``.

It needs the extra ``cli``, and says so if that is missing.
"""

import sys
from importlib import import_module
from typing import Annotated, Any

from graven import __version__
from graven.cli import _demo
from graven.cli._status import USAGE

__all__ = ["commands", "main"]


def main() -> None:
    """Run the command line, and exit with its status.

    0 is success, 1 means that something differs or went wrong, 2 that the call was not understood
    or the extra is missing, 130 that it was interrupted.
    """
    try:
        application = commands()
    except ModuleNotFoundError as error:
        if error.name not in ("rich", "typer"):
            raise
        sys.stderr.write(
            f"cannot run the graven command: the package {error.name!r} is not installed. The "
            "library works without it; the command line needs the extra cli. Install it with: "
            'pip install "graven[cli]"\n'
        )
        sys.exit(USAGE)
    application()


def commands() -> Any:
    """Return the commands, as a Typer application.

    :raises ModuleNotFoundError: if the extra ``cli`` is not installed.
    """
    import_module("rich")  # a missing half of the extra is noticed before anything runs
    import typer

    application = typer.Typer(
        no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False
    )

    def show_version(is_asked: bool) -> None:
        if is_asked:
            print(f"graven {__version__}")
            raise typer.Exit

    @application.callback()
    def graven(
        version: Annotated[
            bool,
            typer.Option(
                "--version", callback=show_version, is_eager=True, help="Show the version."
            ),
        ] = False,
    ) -> None:
        """Transactional objects: one commit makes every change durable, or none."""

    from graven.cli import _ops, _work

    for module in (_ops, _work, _demo):
        module.add_commands(application)
    return application
