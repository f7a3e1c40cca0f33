"""Pure values and functions: no I/O, no clock, no dice, no threads, no logging."""
