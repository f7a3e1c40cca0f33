"""The exit statuses of the command line; 0 is success."""

__all__ = ["DIFFERS", "INTERRUPTED", "USAGE"]

DIFFERS = 1  #: something differs, or went wrong
USAGE = 2  #: the call was not understood, or the extra is missing
INTERRUPTED = 130  #: Ctrl-C
