"""State machines as tables: read from text, shown as a diagram and as Markdown."""

from __future__ import annotations

from collections.abc import Collection, Mapping

__all__ = ["State", "Transitions", "diagram_of", "markdown_of", "read_table", "shown"]

State = str | None
"""The name of a state; ``None`` is where there is nothing yet, or nothing any more."""

Transitions = Mapping[str, Mapping[State, State]]
"""For each event, the state that it leads to from each state."""


def read_table(text: str, states: Collection[State], *refusals: str) -> Transitions:
    """Read a table: the states at its head, then each event with the state it leads to from each.

    *states* are all that the machine has, *refusals* what may stand in place of one. A state that
    is not at the head leads to the last of these.
    """
    words: dict[str, State] = {str(one): one for one in (*states, *refusals)}
    head, *rows = (line.split() for line in text.strip().splitlines())
    given = [words[word] for word in head]
    otherwise: dict[State, State] = dict.fromkeys(states, refusals[-1])
    return {
        event: {**otherwise, **dict(zip(given, [words[word] for word in results], strict=True))}
        for event, *results in rows
    }


def shown(state: State) -> str:
    """Return the name of a state, as messages and tables have it."""
    return state or "none"


def diagram_of(transitions: Transitions, refused: Collection[State]) -> str:
    """Return a table as a Mermaid state diagram: an arrow for each change, none for what stays.

    ``[*]`` is where there is nothing.
    """
    arrows: dict[tuple[State, State], list[str]] = {}
    for event, row in transitions.items():
        for state, result in row.items():
            if result not in refused and result != state:
                arrows.setdefault((state, result), []).append(event)
    lines = [
        f"    {state or '[*]'} --> {result or '[*]'}: {', '.join(events)}"
        for (state, result), events in arrows.items()
    ]
    return "\n".join(["stateDiagram-v2", *lines])


def markdown_of(
    title: str, transitions: Transitions, states: Collection[State], refused: Mapping[State, str]
) -> str:
    """Return a table in Markdown: the state that each event leads to, or what *refused* says."""
    lines = [
        f"| {title} ↓ state → | {' | '.join(map(shown, states))} |",
        "|---" * (len(states) + 1) + "|",
    ]
    for event, row in transitions.items():
        cells = [refused.get(result) or shown(result) for result in row.values()]
        lines.append(f"| `{event}` | {' | '.join(cells)} |")
    return "\n".join(lines)
