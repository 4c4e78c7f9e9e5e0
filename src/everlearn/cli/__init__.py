"""The command line, one file per verb."""

from __future__ import annotations

import sys
import warnings

import typer

from everlearn.cli.app import app as applications
from everlearn.cli.check import check
from everlearn.cli.compare import compare
from everlearn.cli.demo import demo
from everlearn.cli.diff import diff
from everlearn.cli.evaluate import evaluate
from everlearn.cli.export import export
from everlearn.cli.forget import forget
from everlearn.cli.gc import gc
from everlearn.cli.history import history, show
from everlearn.cli.import_ import import_
from everlearn.cli.init import init
from everlearn.cli.methods import methods
from everlearn.cli.plan import plan
from everlearn.cli.rebase import rebase
from everlearn.cli.report import report
from everlearn.cli.rollback import promote, rollback
from everlearn.cli.serve import serve
from everlearn.cli.update import update
from everlearn.cli.watch import approve, watch
from everlearn.errors import EverlearnError
from everlearn.version import VERSION

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
for verb in (
    demo,
    compare,
    evaluate,
    methods,
    check,
    plan,
    report,
    init,
    update,
    history,
    show,
    rollback,
    promote,
    diff,
    export,
    watch,
    approve,
    forget,
    gc,
    rebase,
    serve,
):
    app.command()(verb)
app.command("import")(import_)
app.add_typer(applications, name="app")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"everlearn {VERSION}")
        raise typer.Exit


@app.callback()
def everlearn(version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Print the version.")) -> None:
    """Keep a language model current without forgetting."""


def main() -> None:
    """Run the command line; what everlearn refuses is one line on standard error and exit code 2."""
    warnings.showwarning = lambda message, *where, **more: print(f"everlearn: note: {message}", file=sys.stderr)
    try:
        app()
    except EverlearnError as problem:
        print(f"everlearn: {problem}", file=sys.stderr)
        sys.exit(2)
