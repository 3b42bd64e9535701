"""The commands for dead letters of a stream: list, show, redrive."""

import base64
import json
from typing import Annotated, Any

import typer
from rich.markup import escape

from trifold.ops.cli_batch import Namespace, Release, target_of
from trifold.ops.terminal import console, print_line, print_table, step

WIDTH = 60
"""Of an event in the list."""

app = typer.Typer(help="What a stream could not score: list, show, redrive.", no_args_is_help=True)


@app.command("list", epilog="Example: [bold]trifold dead list taxi-fare[/bold]")
def list_letters(
    release: Release,
    limit: Annotated[int, typer.Option(metavar="N", min=1, max=1000, help="How many, the newest first.")] = 20,
    namespace: Namespace = "models",
) -> None:
    """Show a stream's dead letters: position, time, reason, state, event."""
    from trifold.ops import streams

    target = target_of(release, namespace)
    with console.status("dead letters …"):
        found = streams.ask(target, ["dead", "list", "--limit", str(limit)])["letters"]
    if not found:
        print_line(f"{release} has no dead letters.")
        return
    rows = [("position", "came", "state", "reason", "event")]
    rows += [(one["position"], one["at"], _state(one), reason(one), _text(one["value"])[:WIDTH]) for one in found]
    print_table(rows)
    if not all(one["redriven"] for one in found):
        print_line(
            "\nOnce model or event are mended, send back what waits: "
            f"[bold]{escape(f'trifold dead redrive {release} -n {namespace}')}[/bold]"
        )


@app.command(epilog="Example: [bold]trifold dead show taxi-fare rides/0/4711[/bold]")
def show(
    release: Release,
    position: Annotated[str, typer.Argument(metavar="POSITION", help="As the list has it: topic/partition/offset.")],
    namespace: Namespace = "models",
) -> None:
    """Show a dead letter whole: why, by which version, key, headers and the event as it came."""
    from trifold.ops import streams

    one = streams.ask(target_of(release, namespace), ["dead", "show", position])
    print_table([
        ("position", one["position"]),
        ("came", one["at"]),
        ("state", _state(one)),
        ("model", f"{one['model']} version {one['version']}"),
        ("key", "none" if one["key"] is None else _text(one["key"])),
        *(("header", f"{name}: {_text(content or '')}") for name, content in one["headers"]),
        *(("reason", _words(entry)) for entry in one["reasons"]),
    ])  # fmt: skip
    print(f"\n{_text(one['value'])}")  # as it came: no markup, no wrapping


@app.command(epilog="Example: [bold]trifold dead redrive taxi-fare[/bold]")
def redrive(release: Release, namespace: Namespace = "models") -> None:
    """Send all dead letters that wait back to be scored, by the version that runs now.

    Each counts once, however often this is run; one that cannot be scored still is dead again, with its new reason.
    """
    from trifold.ops import streams

    target = target_of(release, namespace)
    with step("redrive") as said:
        count = streams.ask(target, ["dead", "redrive"])["redriven"]
        said.append(f"{count:,} sent back" if count else "none waits")


def reason(letter: dict[str, Any]) -> str:
    """Why a letter is dead, in a few words."""
    first, *others = letter["reasons"]
    return _words(first) + (f" (and {len(others)} more)" if others else "")


def _words(entry: dict[str, Any]) -> str:
    where = f"{entry['column']}: " if entry["column"] else ""
    return f"{where}expected {entry['expected']}, got {entry['got']}"


def _state(letter: dict[str, Any]) -> str:
    return "redriven" if letter["redriven"] else "waits"


def _text(content: str) -> str:
    """Bytes as people read them; what is no text as escapes, and nothing that would move a terminal's cursor."""
    text = base64.b64decode(content).decode(errors="backslashreplace")
    return "".join(letter if letter.isprintable() else json.dumps(letter)[1:-1] for letter in text)
