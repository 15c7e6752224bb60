"""`lab runs`: list, show, compare, pack and import runs, and copy them to MLflow."""

from pathlib import Path
from typing import Annotated

import typer

from switchhead_lab.cli.options import JsonOption, WideOption
from switchhead_lab.cli.other_hosts import bring, elsewhere_line, refresh_sweeps
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal_table import print_table

app = typer.Typer(
    help=(
        "List, show and compare runs; copy them to MLflow, or between workspaces."
        "\n\nExample: lab runs list"
    ),
    no_args_is_help=True,
)

Reference = Annotated[str, typer.Argument(help="Name of a run, or the start of its hash.")]


@app.command("list")
def list_(
    sweep: Annotated[str, typer.Option(help="Only runs of this sweep, by name or id.")] = "",
    state: Annotated[
        str, typer.Option(help="Only running, finished, failed, pruned or interrupted runs.")
    ] = "",
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """List the runs of the workspace by start time.

    Example: lab runs list --state failed
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.tracking.run_listing import list_summaries, select_runs
    from switchhead_lab.tracking.unsynced import unsynced_notice
    from switchhead_lab.views.run_list import no_runs_line, run_table

    workspace = find_workspace()
    refresh_sweeps(workspace)
    runs_dir = workspace.runs_dir
    every = list_summaries(workspace)
    summaries = select_runs(every, workspace, sweep=sweep, state=state)
    if as_json:
        typer.echo(to_json([summary.as_data() for summary in summaries]))
    elif summaries:
        print_table(run_table(runs_dir, summaries), is_wide=wide)
    else:
        typer.echo(no_runs_line(runs_dir, len(every), sweep, state))
    for notice in () if as_json else (unsynced_notice(runs_dir), elsewhere_line(workspace)):
        if notice:
            typer.echo(notice)


@app.command()
def show(run: Reference, as_json: JsonOption = False) -> None:
    """Show a run: configuration, status, result, provenance and files.

    Example: lab runs show 3fb2c1
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.tracking.record import find_run
    from switchhead_lab.tracking.run_summary import run_as_data
    from switchhead_lab.views.runs import describe_run

    workspace = find_workspace()
    bring(workspace, run)
    record = find_run(workspace.runs_dir, run)
    typer.echo(to_json(run_as_data(record)) if as_json else describe_run(record))


@app.command()
def diff(first: Reference, second: Reference, as_json: JsonOption = False) -> None:
    """Compare two runs: the configuration fields that differ, then the results.

    Example: lab runs diff RUN_A RUN_B
    """
    from dataclasses import asdict

    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.tracking.comparison import differing_fields, paired_results
    from switchhead_lab.tracking.record import find_run
    from switchhead_lab.views.runs import field_table, result_table

    workspace = find_workspace()
    bring(workspace, first, second)
    runs_dir = workspace.runs_dir
    a, b = find_run(runs_dir, first), find_run(runs_dir, second)
    fields, results = differing_fields(a.config, b.config), paired_results(a, b)
    if as_json:
        data = {
            "runs": [a.name, b.name],
            "fields": [asdict(field) for field in fields],
            "results": [asdict(pair) for pair in results],
        }
        typer.echo(to_json(data))
        return
    typer.echo(f"A = {a.name}\nB = {b.name}\n")
    if fields:
        print_table(field_table(fields))
    else:
        typer.echo("same configuration")
    if results:
        print_table(result_table(results))
    else:
        typer.echo("neither run has a result")


@app.command()
def sync(
    runs: Annotated[
        list[str] | None, typer.Argument(help="Names or starts of hashes; by default all runs.")
    ] = None,
    unsynced: Annotated[
        bool,
        typer.Option("--unsynced", help="Only runs whose MLflow copy is missing or unverified."),
    ] = False,
) -> None:
    """Copy runs from their directories to MLflow; existing copies are not duplicated.

    Example: lab runs sync --unsynced
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.tracking.mlflow_sync import sync_workspace
    from switchhead_lab.tracking.record import find_run, list_runs

    workspace = find_workspace()
    runs_dir = workspace.runs_dir
    chosen = [find_run(runs_dir, name) for name in runs] if runs else list_runs(runs_dir)
    n_copied = sync_workspace(workspace, chosen, only_unsynced=unsynced, is_whole=not runs)
    typer.echo(f"runs up to date in MLflow: {n_copied}")


@app.command()
def pack(
    run: Reference,
    out: Annotated[
        str,
        typer.Option("--out", metavar="FILE", help="File to create; <name of the run>.tar.gz."),
    ] = "",
    without_weights: Annotated[
        bool, typer.Option("--without-weights", help="Leave out the checkpoints.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Write a run's directory as an archive, which `lab runs import` reads in another workspace.

    Example: lab runs pack 3fb2c1
    """
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.tracking.liveness import busy_error, is_owned
    from switchhead_lab.tracking.record import find_run
    from switchhead_lab.upkeep.archive import pack as pack_run

    workspace = find_workspace()
    bring(workspace, run, weights=not without_weights)
    runs_dir = workspace.runs_dir
    record = find_run(runs_dir, run)
    if is_owned(runs_dir, record.run_hash):
        raise busy_error(runs_dir, record.run_hash)
    target = Path(out or f"{record.name}.tar.gz")
    n_files = pack_run(record.directory, target.absolute(), with_checkpoints=not without_weights)
    n_bytes = target.stat().st_size
    if as_json:
        typer.echo(to_json({"archive": str(target), "n_files": n_files, "n_bytes": n_bytes}))
    else:
        typer.echo(f"{target}: {n_files} files, {n_bytes:,} bytes")


@app.command("import")
def import_(
    source: Annotated[
        Path, typer.Argument(metavar="DIR|ARCHIVE", help="A run's directory, or a tar archive.")
    ],
    max_gib: Annotated[
        float, typer.Option("--max-gib", min=0.001, help="Refuse more than this, in GiB.")
    ] = 20.0,
    as_json: JsonOption = False,
) -> None:
    """Copy a run of another workspace into this one, after all checks of `lab verify`.

    No code of the run is loaded, links and paths out of its directory are refused, and no run is
    overwritten. A run that is here already changes nothing.

    Example: lab runs import words-tiny-dense-xl-lr0.003-0-3fb2c1aa.tar.gz
    """
    from switchhead_lab.config.workspace import find_workspace

    workspace = find_workspace()
    # Deferred: slow imports, so a mistake in lab.toml fails fast.
    from switchhead_lab.upkeep.archive import Limits
    from switchhead_lab.upkeep.importing import import_run

    found = import_run(workspace, source, Limits(n_bytes=round(max_gib * 2**30)))
    if as_json:
        data = {"directory": str(found.directory), "is_new": found.is_new}
        typer.echo(to_json({**data, "n_checks": found.n_checks, "unchecked": found.unchecked}))
        return
    for note in found.unchecked:
        typer.echo(f"not checked: {note}")
    if not found.is_new:
        typer.echo(f"{found.directory}: the same run is here already; nothing has changed")
        return
    typer.echo(f"{found.directory}: imported, {found.n_checks} checks passed")
    if workspace.tracking_uri != "none":
        typer.echo("it is not in MLflow yet: lab runs sync")
