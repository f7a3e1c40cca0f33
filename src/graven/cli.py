"""The command line: ``graven demo`` and ``graven --version``.

It needs the extra ``cli``, and says so if that is missing.
"""

import json as json_format
import platform
import sys
from importlib import import_module
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from graven import __version__

if TYPE_CHECKING:
    from graven.demo.outcome import Outcome

DIFFERS, USAGE, INTERRUPTED = 1, 2, 130  # exit statuses; 0 is success


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

    @application.command()
    def demo(
        json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
        seed: Annotated[int, typer.Option(help="Where the dice start.")] = 1,
        modules: Annotated[int, typer.Option(min=0, help="How many modules; 0 for all.")] = 0,
        workers: Annotated[int, typer.Option(min=1, help="Processes that move money.")] = 4,
        kills: Annotated[int, typer.Option(min=1, help="How many of them are killed.")] = 16,
        accounts: Annotated[int, typer.Option(min=2, help="Accounts they share.")] = 12,
    ) -> None:
        """Show what graven does, on real input, and check it; exit with 1 if anything differs."""
        from graven.demo.run import Sizes

        sizes = Sizes(modules or None, workers, kills, accounts)
        raise typer.Exit(_demo(sizes, seed, json))

    return application


def _demo(sizes: Any, seed: int, as_json: bool) -> int:
    """Run the demo; return the exit status."""
    from rich.console import Console

    from graven.demo.display import Display
    from graven.demo.run import run

    console = Console(stderr=as_json)
    display = Display(console)
    display.line(f"graven {__version__}, Python {platform.python_version()}, seed {seed}")
    began = perf_counter()
    try:
        outcomes = run(display, sizes, seed)
    except KeyboardInterrupt:
        console.print("interrupted; the processes were ended and the files removed")
        return INTERRUPTED
    seconds = perf_counter() - began
    display.closing_table(outcomes, seconds)
    if as_json:
        print(json_format.dumps(_as_data(outcomes, seed, seconds), indent=2))
    return DIFFERS if any(one.differences for one in outcomes) else 0


def _as_data(outcomes: "list[Outcome]", seed: int, seconds: float) -> dict[str, Any]:
    return {
        "graven": __version__,
        "python": platform.python_version(),
        "seed": seed,
        "seconds": round(seconds, 1),
        "differs": any(one.differences for one in outcomes),
        "parts": [one.as_data() for one in outcomes],
    }
