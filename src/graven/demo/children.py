"""Child processes that are ended by their id, whatever happens to their parent."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType


class Child:
    """A Python module that runs in a process of its own.

    It is told to finish by the end of its standard input, which also comes when its parent dies.
    It has a session of its own, so that Ctrl-C in a terminal reaches the parent alone, which then
    ends it. Use it as a block.
    """

    def __init__(self, module: str, *arguments: object, errors: Path) -> None:
        """Start ``python -m`` *module*; its standard error goes to the file *errors*."""
        self._errors = errors
        with errors.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *map(str, arguments)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                encoding="utf-8",
                start_new_session=True,
            )
        self.pid = self._process.pid

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End the process if it runs, and close its pipes."""
        self.end()

    def lines(self) -> Iterator[str]:
        """Yield what the process writes to standard output, line by line, until its end."""
        if self._process.stdout is not None:
            for line in self._process.stdout:
                if line.endswith("\n"):  # a line cut off by the end was never said
                    yield line.rstrip("\n")

    def ask_to_finish(self) -> None:
        """Close the standard input of the process, which tells it to finish."""
        if self._process.stdin is not None:
            self._process.stdin.close()

    def wait(self, timeout_s: float) -> int:
        """Return the exit status of the process; kill it if it has not ended in time."""
        try:
            return self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return self.kill()

    def kill(self) -> int:
        """End the process at once, by SIGKILL where there is such a thing; return its status."""
        self._process.kill()
        return self._process.wait()

    def end(self) -> None:
        """See that the process has ended, and close its pipes."""
        if self._process.poll() is None:
            self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def last_words(self) -> str:
        """Return the last line that the process wrote to standard error; an empty one if none."""
        lines = self._errors.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else ""
