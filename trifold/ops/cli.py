"""The command line: check, build, serve, deploy, status, undeploy; cli_batch.py and cli_dead.py have the others."""

import errno
import signal
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from trifold.errors import ServeError, TrifoldError
from trifold.ops import cli_batch, cli_dead
from trifold.ops.cli_batch import Namespace
from trifold.ops.terminal import console, print_line, print_report, print_table, step

if TYPE_CHECKING:  # a command imports them when it needs them: MLflow alone takes a second
    from trifold.ops.findings import Report
    from trifold.ops.images import Image
    from trifold.ops.packaging import Built

app = typer.Typer(
    help="A model from MLflow's registry as a web service, a batch job and a stream consumer.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)

Address = Annotated[
    str, typer.Argument(metavar="MODEL", help="churn@champion, churn/3, churn/latest, or models:/ before it")
]
Trust = Annotated[
    list[str],
    typer.Option("--trust", metavar="TYPE", help="Vouch for a type, by its full name; repeat for more."),
]
Pickle = Annotated[
    bool,
    typer.Option("--allow-pickle", help="Vouch for a pickle: loading it runs whatever its author wrote."),
]
Deep = Annotated[
    bool, typer.Option("--deep", help="Compare answers with MLflow's pyfunc, for the example and 200 rows like it.")
]
Port = Annotated[int, typer.Option(metavar="PORT", min=1, max=65535, help="Port to listen on.")]
Host = Annotated[str, typer.Option(metavar="HOST", help="Address to listen on.")]
Push = Annotated[
    str, typer.Option(metavar="REGISTRY", help="Push the image there; the lock file then names its digest.")
]
Lock = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Where to write the lock file. [dim]default: MODEL.lock.yaml[/dim]")
]
Release = Annotated[str, typer.Option(metavar="NAME", help="Name of the release. [dim]default: the model's own[/dim]")]
Values = Annotated[
    list[Path], typer.Option("--values", "-f", metavar="FILE", exists=True, help="Your own values; repeat for more.")
]
Print = Annotated[bool, typer.Option("--print", help="Print the commands that do it by hand, and stop.")]


@app.callback()
def _commands() -> None:
    """A model from MLflow's registry as a web service, a batch job and a stream consumer."""


@app.command(epilog="Example: [bold]trifold check churn@champion --deep[/bold]")
def check(
    model: Address,
    trust: Trust = [],  # noqa: B006 - typer's way
    allow_pickle: Pickle = False,
    deep: Deep = False,
) -> None:
    """Say whether a registered model will work, in each mode, and what mends it. Exit code 1 if in none."""
    report = _check(model, trust, allow_pickle, deep=deep)
    print_report(report)
    if report.failed:
        raise typer.Exit(1)


@app.command(epilog="Example: [bold]trifold build churn@champion[/bold]")
def build(
    model: Address,
    push: Push = "",
    lock: Lock = None,
    image: Annotated[bool, typer.Option("--image/--no-image", help="Or stop when the Bento is built.")] = True,
    trust: Trust = [],  # noqa: B006
    allow_pickle: Pickle = False,
) -> None:
    """Check a registered model, build its Bento, its image and its lock file (values for charts/model-serving)."""
    built = _build(model, trust, allow_pickle)
    if not image:
        print_line(f"\n{built.tag}")
        return
    made = _image(built, push)
    print_line(f"\n{made.name}\n{_lock(built, made, lock)}")


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
        with step("start") as said:
            process = running.enter_context(server(built, host, port))
            said.append(url(host, port))
        print_line(f"\nTry it:\n{escape(curl(built, host, port))}\n\nCtrl-C ends it.")
        try:
            code = process.wait()
        except KeyboardInterrupt:
            return
    raise ServeError(f"The server ended by itself, with exit code {code}; start it again, its last lines say why.")


@app.command(epilog="Example: [bold]trifold deploy churn@champion[/bold]")
def deploy(
    model: Address,
    release: Release = "",
    values: Values = [],  # noqa: B006 - typer's way
    namespace: Namespace = "models",
    push: Push = "",
    lock: Lock = None,
    print_only: Print = False,
    timeout: Annotated[int, typer.Option(metavar="SECONDS", min=1, help="How long to wait for its pods.")] = 180,
    trust: Trust = [],  # noqa: B006
    allow_pickle: Pickle = False,
) -> None:
    """Check, build and deploy a registered model: helm upgrade, wait, helm test. What fails goes back by itself."""
    from trifold.ops import by_hand, helm, kube, releases
    from trifold.ops import deploy as deploys
    from trifold.ops.helm import Target
    from trifold.ops.lockfile import release_of, require_release

    if release:
        require_release(release)
    target = Target(release, namespace, helm.context())
    if not print_only:
        with step("cluster") as said:
            kube.connect(target.context)
            kube.require_namespace(target)
            helm.require()
            said.append(f"namespace {namespace}, Pod Security restricted")
    built = _build(model, trust, allow_pickle)
    target = Target(release or release_of(built.tag.partition(":")[0]), namespace, target.context)
    if print_only:
        there = by_hand.image_of(built, push)
        file = _lock(built, there, lock)
        upgrade = target.upgrade([path.absolute() for path in (file, *values)], timeout)
        print_line("\n# by hand:")
        print("\n".join(by_hand.commands(built, there, target, upgrade)))  # as it is: no markup, no wrapping
        return
    image = _image(built, push)
    file = _lock(built, image, lock)
    if not push:
        with step("load") as said:
            deploys.load(image.name)
            said.append(f"{image.name} into the local cluster")
    with step("deploy") as said:
        revision = deploys.deploy(target, [file, *values], timeout)
        said.append(f"{target.release}, revision {revision}: ready, and its test predicted right")
    print_line(f"\n{escape(by_hand.where(built, target, releases.releases(namespace)))}")


@app.command(epilog="Example: [bold]trifold undeploy churn[/bold]")
def undeploy(
    release: Annotated[str, typer.Argument(metavar="RELEASE", help="Name of the release.")],
    namespace: Namespace = "models",
) -> None:
    """Remove a release. The model stays in the registry, its image where it is."""
    from trifold.ops import helm
    from trifold.ops.deploy import undeploy as remove

    with step("undeploy") as said:
        gone = remove(helm.Target(release, namespace, helm.context()))
        said.append(f"{release} removed" if gone else f"there is no release {release} in {namespace}")


@app.command(epilog="Example: [bold]trifold status[/bold]")
def status(namespace: Namespace = "models") -> None:
    """Show the releases: model, version, digest, ready pods, schedules, lag. Exit code 1 if one has too few pods."""
    from trifold.ops import helm, kube, releases

    context = helm.context()
    kube.connect(context)
    with console.status("status …"):
        found = releases.with_lag(releases.releases(namespace), namespace, context)
    if not found:
        print_line(f"No releases in {namespace}; make one: [bold]trifold deploy MODEL[/bold]")
        return
    rows = [("release", "mode", "model", "version", "digest", "ready")]
    rows += [(one.name, one.mode, one.model, one.version, one.digest[:12], releases.readiness(one)) for one in found]
    print_table(rows)
    if any(one.ready < one.pods for one in found):
        raise typer.Exit(1)


app.command(epilog="Example: [bold]trifold run churn weekly --slot 2026-11-02T05:00Z[/bold]")(cli_batch.run)
app.command(epilog="Example: [bold]trifold backfill churn weekly --from 2026-01 --to 2026-06[/bold]")(
    cli_batch.backfill
)
app.command(epilog="Example: [bold]trifold runs churn[/bold]")(cli_batch.runs)
app.add_typer(cli_dead.app, name="dead")


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


def _check(model: str, trust: list[str], allow_pickle: bool, *, deep: bool | None = None) -> "Report":
    """Check a model; deep: whether answers are compared with MLflow's pyfunc, None: if it was logged plainly."""
    with step("registry") as said:
        from trifold.ops import registry
        from trifold.ops.check import check
        from trifold.ops.deep import is_plain
        from trifold.ops.findings import MODES

        pin = registry.pin(model)
        said.append(f"{model} is version {pin.version}, digest {pin.digest[:12]}")
    deep = is_plain(pin.folder) if deep is None else deep
    more = "with MLflow's pyfunc beside it: the first time, 20 to 60 s for its environment" if deep else ""
    with step("check", more) as said:
        report = check(pin, trusted=trust, allow_pickle=allow_pickle, deep=deep)
        said.append(", ".join(f"{mode} {report.verdict(mode)}" for mode in MODES))
    return report


def _build(model: str, trust: list[str], allow_pickle: bool) -> "Built":
    report = _check(model, trust, allow_pickle)
    if report.failed or report.packed is None:
        print_report(report)
    elif report.warnings:
        print_line(f"  {'':<11} warnings, {report.warnings} in all: [bold]{escape(report.command('check'))}[/]")
    for says in report.list_doubts():
        print_line(f"  {'':<11} {escape(says)}")
    with step("build") as said:
        from trifold.ops.packaging import build

        built = build(report)
        said.append(built.tag if built.new else f"{built.tag}, there already")
    return built


def _image(built: "Built", push: str) -> "Image":
    with step("image") as said:
        from trifold.ops import images

        made = images.containerize(built)
        sizes = images.breakdown(made)
        parts = ", ".join(f"{name} {size / 1e6:.1f}" for name, size in sizes.items())
        said.append(f"{made.name}{'' if made.new else ', there already'}")
    print_line(f"  {'':<11} {sum(sizes.values()) / 1e6:.0f} MB: {parts}")
    if push:
        with step("push") as said:
            made = images.push(made, push)
            said.append(f"{made.name}, {made.digest[:19]}…")
    return made


def _lock(built: "Built", image: "Image", file: Path | None) -> Path:
    from trifold.ops import lockfile
    from trifold.packed import Packed

    file = file or Path(f"{built.tag.partition(':')[0]}.lock.yaml")
    lockfile.write(file, Packed.read(built.model), image)
    return file


if __name__ == "__main__":
    main()
