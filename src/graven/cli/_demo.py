"""``graven demo``."""

import json as json_format
import platform
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

from graven import __version__
from graven.cli._status import DIFFERS, INTERRUPTED

if TYPE_CHECKING:
    import typer

    from graven.demo.outcome import Outcome

__all__ = ["add_commands"]


def add_commands(application: "typer.Typer") -> None:
    """Add the command to the application."""
    import typer

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
