"""The command line: check, build, serve."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from trifold.errors import TrifoldError

app = typer.Typer(
    help="A model from MLflow's registry as a web service, a batch job and a stream consumer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Console(highlight=False)
COLOURS = {"yes": "green", "warn": "yellow", "no": "red"}

Address = Annotated[str, typer.Argument(metavar="MODEL", help="churn@champion, churn/3, or the same after models:/")]
Trust = Annotated[
    list[str],
    typer.Option("--trust", metavar="TYPE", help="Vouch for a type, by its full name; repeat for more."),
]
Pickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Vouch for a pickle: loading it runs whatever its author wrote."),
]
Port = Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")]
Host = Annotated[str, typer.Option(help="Address to listen on.")]


@app.callback()
def _commands() -> None:
    """A model from MLflow's registry as a web service, a batch job and a stream consumer."""


@app.command(epilog="Example: [bold]trifold check churn@champion[/bold]")
def check(model: Address, trust: Trust = [], allow_pickle: Pickle = False) -> None:  # noqa: B006 - typer's way
    """Say whether a registered model will work, in each mode, and what mends it. Exit code 1 if in none."""
    from trifold.ops.check import MODES, YES

    report = _check(model, trust, allow_pickle)
    _print_report(report)
    if all(report.verdict(mode) != YES for mode in MODES):
        raise typer.Exit(1)


@app.command(epilog="Example: [bold]trifold build churn@champion[/bold]")
def build(model: Address, trust: Trust = [], allow_pickle: Pickle = False) -> None:  # noqa: B006
    """Check a registered model and build its Bento."""
    built = _build(model, trust, allow_pickle)
    console.print(f"\n{built.tag}", soft_wrap=True)


@app.command(epilog="Example: [bold]trifold serve churn@champion --port 3000[/bold]")
def serve(
    model: Address,
    port: Port = 3000,
    host: Host = "127.0.0.1",
    trust: Trust = [],  # noqa: B006
    allow_pickle: Pickle = False,
) -> None:
    """Check a registered model, build its Bento and serve it on this machine until Ctrl-C."""
    from trifold.ops.serve import curl, require_free, server

    require_free(host, port)
    built = _build(model, trust, allow_pickle)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with _step("start") as said:
        running = server(built, host, port)
        process = running.__enter__()
        said.append(f"http://{host}:{port}")
    try:
        console.print(f"\nTry it:\n{escape(curl(built, host, port))}\n\nCtrl-C ends it.", soft_wrap=True)
        code = process.wait()
    except KeyboardInterrupt:
        code = 0
    finally:
        running.__exit__(None, None, None)
    raise typer.Exit(code)


def main() -> None:
    """Run the command line; whatever Trifold refuses is one sentence and exit code 1."""
    try:
        app()
    except (TrifoldError, OSError) as error:
        words = (
            f"{error.strerror}: {error.filename}; free or allow it and run the same command again."
            if (isinstance(error, OSError) and error.strerror)
            else str(error)
        )
        Console(stderr=True, highlight=False).print(f"[red]trifold:[/red] {escape(words)}", soft_wrap=True)
        sys.exit(1)


def _check(model: str, trust: list[str], allow_pickle: bool):  # type: ignore[no-untyped-def]
    with _step("registry") as said:
        from trifold.ops import registry
        from trifold.ops.check import check

        pin = registry.pin(model)
        said.append(f"{model} is version {pin.version}, digest {pin.digest[:12]}…")
    with _step("check") as said:
        report = check(pin, trusted=trust, allow_pickle=allow_pickle)
        said.append(", ".join(f"{mode} {report.verdict(mode)}" for mode in ("online", "batch", "stream")))
    return report


def _build(model: str, trust: list[str], allow_pickle: bool):  # type: ignore[no-untyped-def]
    report = _check(model, trust, allow_pickle)
    if report.failed or report.packed is None:
        _print_report(report)
    with _step("build") as said:
        from trifold.ops.packaging import build

        built = build(report)
        said.append(built.tag if built.new else f"{built.tag}, there already")
    return built


def _print_report(report) -> None:  # type: ignore[no-untyped-def]
    from trifold.ops.check import MODES, YES

    table = Table(
        title=f"{report.pin.name} version {report.pin.version}",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for column in ("", "", "what was found, and what mends it"):
        table.add_column(column, overflow="fold")
    for found in report.findings:
        colour = COLOURS[found.verdict]
        table.add_row(f"[{colour}]{found.verdict}[/]", found.subject, escape(found.says))
        for line in found.fix:
            table.add_row("", "", f"[bold]{escape(line)}[/]")
    console.print()
    console.print(table)
    verdicts = [(mode, report.verdict(mode)) for mode in MODES]
    console.print("\n" + "   ".join(f"{mode} [{COLOURS[verdict]}]{verdict}[/]" for mode, verdict in verdicts))
    if report.packed and report.verdict("online") == YES:
        console.print(f"next: [bold]trifold serve {report.pin.name}/{report.pin.version}[/]")


@contextmanager
def _step(name: str) -> Iterator[list[str]]:
    """Print a line for a step when it is done, with what was said of it and its time."""
    said: list[str] = []
    start = time.monotonic()
    with console.status(f"{name} …"):
        yield said
    seconds = time.monotonic() - start
    console.print(f"  {name:<10} {escape(' '.join(said)):<60} {seconds:6.1f} s", soft_wrap=True)


if __name__ == "__main__":
    main()
