"""The command line: check, build, serve."""

import errno
import signal
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from trifold.errors import ServeError, TrifoldError

if TYPE_CHECKING:  # a command imports them when it needs them: MLflow alone takes a second
    from trifold.ops.check import Report
    from trifold.ops.packaging import Built

app = typer.Typer(
    help="A model from MLflow's registry as a web service, a batch job and a stream consumer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Console(highlight=False)
COLOURS = {"yes": "green", "warn": "yellow", "no": "red"}
MARGIN = 22
"""Columns before what was found."""

Address = Annotated[str, typer.Argument(metavar="MODEL", help="churn@champion, churn/3, or the same after models:/")]
Trust = Annotated[
    list[str],
    typer.Option("--trust", metavar="TYPE", help="Vouch for a type, by its full name; repeat for more."),
]
Pickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Vouch for a pickle: loading it runs whatever its author wrote."),
]
Port = Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="Port to listen on.")]
Host = Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")]


@app.callback()
def _commands() -> None:
    """A model from MLflow's registry as a web service, a batch job and a stream consumer."""


@app.command(epilog="Example: [bold]trifold check churn@champion[/bold]")
def check(model: Address, trust: Trust = [], allow_pickle: Pickle = False) -> None:  # noqa: B006 - typer's way
    """Say whether a registered model will work, in each mode, and what mends it. Exit code 1 if in none."""
    report = _check(model, trust, allow_pickle)
    _print_report(report)
    if report.failed:
        raise typer.Exit(1)


@app.command(epilog="Example: [bold]trifold build churn@champion[/bold]")
def build(model: Address, trust: Trust = [], allow_pickle: Pickle = False) -> None:  # noqa: B006
    """Check a registered model and build its Bento."""
    built = _build(model, trust, allow_pickle)
    _print(f"\n{built.tag}")


@app.command(epilog="Example: [bold]trifold serve churn@champion --port 3000[/bold]")
def serve(
    model: Address,
    port: Port = 3000,
    host: Host = "127.0.0.1",
    trust: Trust = [],  # noqa: B006
    allow_pickle: Pickle = False,
) -> None:
    """Check a registered model, build its Bento and serve it on this machine until Ctrl-C."""
    from trifold.ops.serve import curl, require_free, server, url

    require_free(host, port)
    built = _build(model, trust, allow_pickle)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends like Ctrl-C
    with ExitStack() as running:
        with _step("start") as said:
            process = running.enter_context(server(built, host, port))
            said.append(url(host, port))
        _print(f"\nTry it:\n{escape(curl(built, host, port))}\n\nCtrl-C ends it.")
        try:
            code = process.wait()
        except KeyboardInterrupt:
            return
    raise ServeError(f"The server ended by itself, with exit code {code}; start it again, its last lines say why.")


def main() -> None:
    """Run the command line; whatever Trifold refuses is one sentence and exit code 1."""
    try:
        app()
    except (TrifoldError, OSError) as error:
        Console(stderr=True, highlight=False).print(f"[red]trifold:[/red] {escape(_sentence(error))}", soft_wrap=True)
        sys.exit(1)


def _sentence(error: TrifoldError | OSError) -> str:
    if not isinstance(error, OSError) or error.errno is None:
        return str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"There is no room left for {error.filename or 'Trifold'}; free some, or set TRIFOLD_HOME elsewhere."
    return f"{error.strerror}: {error.filename}; allow it, or set TRIFOLD_HOME elsewhere."


def _check(model: str, trust: list[str], allow_pickle: bool) -> "Report":
    with _step("registry") as said:
        from trifold.ops import registry
        from trifold.ops.check import MODES, check

        pin = registry.pin(model)
        said.append(f"{model} is version {pin.version}, digest {pin.digest[:12]}")
    with _step("check") as said:
        report = check(pin, trusted=trust, allow_pickle=allow_pickle)
        said.append(", ".join(f"{mode} {report.verdict(mode)}" for mode in MODES))
    return report


def _build(model: str, trust: list[str], allow_pickle: bool) -> "Built":
    report = _check(model, trust, allow_pickle)
    if report.failed or report.packed is None:
        _print_report(report)
    with _step("build") as said:
        from trifold.ops.packaging import build

        built = build(report)
        said.append(built.tag if built.new else f"{built.tag}, there already")
    return built


def _print_report(report: "Report") -> None:
    from trifold.ops.check import MODES, YES

    console.print(f"\n[bold]{escape(report.pin.name)} version {report.pin.version}[/]\n")
    for found in report.findings:
        colour = COLOURS[found.verdict]
        first, *rest = textwrap.wrap(found.says, max(console.width, 60) - MARGIN) or [""]
        _print(f"  [{colour}]{found.verdict:<4}[/]  {found.subject:<12}  {escape(first)}")
        for line in rest:
            _print(" " * MARGIN + escape(line))
        for line in found.fix:
            _print(" " * MARGIN + f"[bold]{escape(line)}[/]")
    verdicts = [(mode, report.verdict(mode)) for mode in MODES]
    console.print("\n  " + "   ".join(f"{mode} [{COLOURS[verdict]}]{verdict}[/]" for mode, verdict in verdicts))
    if report.packed and report.verdict("online") == YES:
        _print(f"\n  next: [bold]trifold serve {escape(report.pin.name)}/{report.pin.version}[/]")


def _print(line: str) -> None:
    """Print a line as it is: one that is to be copied must not be wrapped."""
    console.print(line, soft_wrap=True)


@contextmanager
def _step(name: str) -> Iterator[list[str]]:
    """Print a line for a step when it is done, with what was said of it and its time."""
    said: list[str] = []
    start = time.monotonic()
    with console.status(f"{name} …"):
        yield said
    _print(escape(f"  {name:<9} {' '.join(said):<56} {time.monotonic() - start:6.1f} s"))


if __name__ == "__main__":
    main()
