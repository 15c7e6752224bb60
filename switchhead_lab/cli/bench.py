"""`lab bench`: time training steps and expert matmuls on this machine."""

from typing import TYPE_CHECKING, Annotated

import typer

from switchhead_lab.cli.evaluation import (
    BatchSizeOption,
    DataRootOption,
    ModelsArgument,
    PrecisionOption,
    TasksOption,
)
from switchhead_lab.cli.options import (
    DeviceOption,
    JsonOption,
    SetOption,
    SizeOption,
    SweepArgument,
    WideOption,
)
from switchhead_lab.cli.other_hosts import bring_model
from switchhead_lab.json_text import to_json
from switchhead_lab.terminal import print_notes, tell
from switchhead_lab.terminal_table import print_table

if TYPE_CHECKING:
    from switchhead_lab.config.schema import RunConfig
    from switchhead_lab.config.sweep import Sweep
    from switchhead_lab.config.workspace import Workspace

app = typer.Typer(
    help=(
        "Time training steps and expert matmuls on this machine.\n\n"
        "Example: lab bench step matched-params"
    ),
    no_args_is_help=True,
)
RoundsOption = Annotated[int, typer.Option("--rounds", min=1, help="Rounds timed.")]
ModelsOption = Annotated[
    str, typer.Option("--models", help="Only these models, e.g. dense,switchhead.")
]


@app.command()
def step(
    sweep: SweepArgument,
    size: SizeOption = "",
    overrides: SetOption = None,
    models: ModelsOption = "",
    rounds: RoundsOption = 25,
    device: DeviceOption = "",
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Time the whole training step of a sweep's models, interleaved in one process.

    Time and memory are compared with those of the first model: the paper's Table 5 on this machine.
    The best model of a finished search is timed too; reports print these times.
    The bound is the time of all matmuls at the speed of the best square matmul. With --models, an
    earlier record of more models is kept, and the new times are only printed.

    Example: lab bench step matched-params --size pocket
    """
    from switchhead_lab.benchmark.record import write_step_bench
    from switchhead_lab.benchmark.step import bench_steps
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.training.compute_setup import prepare_setup
    from switchhead_lab.views import bench as views

    workspace = find_workspace().on_device(device)
    declared, configs = _configs(workspace, sweep, size, overrides, models)
    training = declared.training
    setup = prepare_setup(
        workspace.settings.device,
        training.precision,
        compiles_blocks=training.compile_blocks,
        captures_step=training.capture_step,
    )
    bench = bench_steps(configs, setup, rounds, tell)
    recorded = write_step_bench(
        workspace.reports_dir, declared, bench, setup, is_partial=bool(models)
    )
    if as_json:
        typer.echo(to_json(recorded.data))
        return
    print_table(views.step_table(declared, bench), is_wide=wide)
    print_notes(views.step_lines(bench, setup, recorded.place))


@app.command()
def neighbour(
    sweep: SweepArgument = "matched-params",
    size: SizeOption = "",
    overrides: SetOption = None,
    models: ModelsOption = "",
    rounds: RoundsOption = 9,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.0, help="Time of a turn; at least one step.")
    ] = 0.5,
    settings: Annotated[
        list[str] | None,
        typer.Option("--setting", metavar="NAME=VALUE", help="Time this variable too."),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Time training steps on the CPU, alone and beside another process that uses all cores.

    Each model takes turns in a process with the lab's setting of how OpenMP threads wait and in one
    with the default. By default, the models are the baseline and the first one with another kind of
    attention. Ratios are medians over the rounds.

    Example: lab bench neighbour matched-params --setting GOMP_SPINCOUNT=10000
    """
    from switchhead_lab.benchmark.neighbour import bench_neighbour, parse_settings
    from switchhead_lab.benchmark.record import write_neighbour_bench
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.timed_models import two_kinds
    from switchhead_lab.training.compute_setup import prepare_setup
    from switchhead_lab.views import bench as views

    workspace = find_workspace()
    declared, configs = _configs(workspace, sweep, size, overrides, models)
    configs = configs if models else two_kinds(configs)
    setup = prepare_setup("cpu", declared.training.precision)
    bench = bench_neighbour(configs, parse_settings(settings or ()), rounds, seconds, tell)
    recorded = write_neighbour_bench(
        workspace.reports_dir, declared, bench, setup, is_partial=bool(models)
    )
    if as_json:
        typer.echo(to_json(recorded.data))
        return
    print_table(views.neighbour_table(declared, bench))
    print_notes(views.neighbour_lines(bench, setup, recorded.place))


@app.command()
def checkpoint(
    sweep: SweepArgument = "matched-params",
    size: SizeOption = "",
    overrides: SetOption = None,
    models: ModelsOption = "",
    rounds: RoundsOption = 5,
    device: DeviceOption = "",
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Time what checkpoints, a resume and tracking take from training.

    Checkpoints are written to the workspace's runs folder while the model trains on, and removed.
    By default, the models are the baseline and the first one with another kind of attention.

    Example: lab bench checkpoint matched-params --size pocket --rounds 3
    """
    from switchhead_lab.benchmark.checkpoint import bench_checkpoints
    from switchhead_lab.benchmark.record import write_checkpoint_bench
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.sweeping.timed_models import two_kinds
    from switchhead_lab.tracking.atomic import make_directory
    from switchhead_lab.training.compute_setup import prepare_setup
    from switchhead_lab.views import bench as views

    workspace = find_workspace().on_device(device)
    declared, configs = _configs(workspace, sweep, size, overrides, models)
    configs = configs if models else two_kinds(configs)
    setup = prepare_setup(workspace.settings.device, declared.training.precision)
    folder = make_directory(workspace.runs_dir)
    bench = bench_checkpoints(configs, setup, rounds, folder, tell)
    recorded = write_checkpoint_bench(
        workspace.reports_dir, declared, bench, setup, is_partial=bool(models)
    )
    if as_json:
        typer.echo(to_json(recorded.data))
        return
    print_table(views.checkpoint_table(declared, bench), is_wide=wide)
    print_notes(views.checkpoint_lines(bench, setup, recorded.place))


@app.command()
def evaluation(
    models: ModelsArgument,
    tasks: TasksOption = "pocket_minimal_pairs",
    data_root: DataRootOption = None,
    batch_size: BatchSizeOption = None,
    precision: PrecisionOption = "fp32",
    rounds: RoundsOption = 3,
    device: DeviceOption = "",
    as_json: JsonOption = False,
) -> None:
    """Time zero-shot evaluations beside the forward passes in them.

    The models are trained runs or Hugging Face checkpoints, as of `lab eval`, whose results stay
    as they are. The ratio says what reading, tokenising, scoring and recording add.

    Example: lab bench evaluation 3fb2c1 --tasks pocket --rounds 1
    """
    from switchhead_lab.benchmark.evaluation import bench_evaluation
    from switchhead_lab.benchmark.record import write_evaluation_bench
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.evaluation.evaluated import find_evaluated, require_precision
    from switchhead_lab.training.compute_setup import prepare_setup
    from switchhead_lab.views import bench as views

    wanted = require_precision(precision)
    workspace = find_workspace().on_device(device)
    for name in models:
        bring_model(name)
    bench = bench_evaluation(
        [find_evaluated(name).load(device, wanted, "last") for name in models],
        [name.strip() for name in tasks.split(",")],
        rounds,
        data_root=data_root,
        batch_size=batch_size,
        progress=tell,
    )
    setup = prepare_setup(workspace.settings.device, wanted)
    recorded = write_evaluation_bench(workspace.reports_dir, bench, setup)
    if as_json:
        typer.echo(to_json(recorded.data))
        return
    print_table(views.evaluation_table(bench))
    print_notes(views.evaluation_lines(bench, setup, recorded.place))


@app.command()
def workers(
    sweep: SweepArgument = "matched-params",
    size: SizeOption = "demo",
    n_workers: Annotated[int, typer.Option("--workers", min=1, help="Worker processes.")] = 50,
    n_runs: Annotated[int, typer.Option("--runs", min=1, help="Runs per worker.")] = 3,
    seconds: Annotated[float, typer.Option("--seconds", min=0.0, help="Time of a run.")] = 30.0,
    as_json: JsonOption = False,
) -> None:
    """Measure how busy a sweep keeps many workers, whose runs only take their time.

    All else is real: processes, locks, record, and the workspace's database if it has one, from
    which the sweep is removed at the end. Nothing is trained, and no run is kept.

    Example: lab bench workers --workers 8 --runs 2 --seconds 5
    """
    from switchhead_lab.benchmark.record import write_workers_bench
    from switchhead_lab.benchmark.workers import bench_workers
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.training.compute_setup import prepare_setup
    from switchhead_lab.views import bench as views

    workspace = find_workspace()
    declared = find_sweep(workspace.sweeps_dir, sweep).resolve(size, ())
    bench = bench_workers(workspace, declared, n_workers, n_runs, seconds, tell)
    recorded = write_workers_bench(workspace.reports_dir, bench, prepare_setup("cpu", "auto"))
    if as_json:
        typer.echo(to_json(recorded.data))
        return
    print_table(views.workers_table(bench))
    print_notes(views.workers_lines(recorded.place))


@app.command()
def peers(
    sweep: SweepArgument = "bench/peers",
    size: SizeOption = "",
    overrides: SetOption = None,
    models: ModelsOption = "",
    rounds: RoundsOption = 15,
    as_json: JsonOption = False,
) -> None:
    """Time a sweep's models on the CPU beside other implementations of the same shapes.

    Dense models with RoPE: plain PyTorch with fused and with manual attention, and Hugging Face's
    GPT-2 and GPT-NeoX. Dense Transformer-XL: plain PyTorch. Sigma-MoE: Mixtral's experts. All take
    turns in one process. Hugging Face models need the optional extra `peers`.

    Example: lab bench peers --size 47m --rounds 5
    """
    from switchhead_lab.benchmark.peers.bench import bench_peers
    from switchhead_lab.benchmark.record import write_peer_bench
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.training.compute_setup import prepare_setup
    from switchhead_lab.views import bench as views

    workspace = find_workspace()
    declared, configs = _configs(workspace, sweep, size, overrides, models)
    setup = prepare_setup("cpu", declared.training.precision)
    bench = bench_peers(configs, setup, rounds, tell)
    recorded = write_peer_bench(
        workspace.reports_dir, declared, bench, setup, is_partial=bool(models)
    )
    if as_json:
        typer.echo(to_json(recorded.data))
        return
    print_table(views.peer_table(declared, bench))
    print_notes(views.peer_lines(bench, setup, recorded.place))


@app.command()
def kernels(
    shape: Annotated[
        list[str] | None,
        typer.Option("--shape", metavar="D_MODEL/D_HEAD", help="Only this shape, e.g. 412/76."),
    ] = None,
    k: Annotated[str, typer.Option("--k", help="Experts per token, e.g. 1,2.")] = "1,2,3,4",
    dtype: Annotated[str, typer.Option(help="fp32, bf16, fp16, or all for the first two.")] = "all",
    rounds: Annotated[
        int, typer.Option("--rounds", min=0, help="Rounds timed; 0 for automatic.")
    ] = 0,
    reference: Annotated[
        bool, typer.Option("--reference", help="Time the reference too, which takes minutes.")
    ] = False,
    device: DeviceOption = "",
    as_json: JsonOption = False,
) -> None:
    """Time every backend of the expert matmuls beside a dense matmul with the same operations.

    Each backend is first checked against the reference in float64; incorrect ones are not timed.

    Example: lab bench kernels --shape 412/76 --k 2
    """
    from dataclasses import replace

    from switchhead_kernels.bench import DTYPES, SHAPES, Effort, Plan, Shape, run_bench
    from switchhead_lab.benchmark.record import write_kernel_bench
    from switchhead_lab.config.workspace import find_workspace
    from switchhead_lab.errors import ConfigError
    from switchhead_lab.training.compute_setup import prepare_setup
    from switchhead_lab.views import bench as views

    if dtype not in ("all", *DTYPES):
        raise ConfigError(f"--dtype {dtype}: use all, {', '.join(DTYPES)}")
    plan = Plan(
        shapes=tuple(Shape(*_numbers(one, "/", "--shape", 2)) for one in shape or map(str, SHAPES)),
        top_ks=tuple(_numbers(k, ",", "--k")),
        dtypes=Plan.dtypes if dtype == "all" else (dtype,),
        effort=Effort.exactly(rounds) if rounds else Effort(),
        times_reference=reference,
    )
    workspace = find_workspace().on_device(device)
    setup = prepare_setup(workspace.settings.device, "auto")
    bench = run_bench(plan, setup.device, progress=tell)
    recorded = write_kernel_bench(
        workspace.reports_dir,
        bench,
        setup,
        is_partial=replace(plan, effort=Effort(), times_reference=False) != Plan(),
    )
    if as_json:
        typer.echo(to_json(recorded.data))
        return
    print_table(views.kernel_table(bench, setup))
    print_notes(views.kernel_lines(bench, recorded.place))


def _configs(
    workspace: "Workspace", name: str, size: str, overrides: list[str] | None, models: str
) -> "tuple[Sweep, dict[str, RunConfig]]":
    """Return a sweep and the configurations of its models to time: all, or those of `--models`."""
    from switchhead_lab.config.sweep_files import find_sweep
    from switchhead_lab.errors import ConfigError
    from switchhead_lab.sweeping.timed_models import configs_to_time

    sweep = find_sweep(workspace.sweeps_dir, name).resolve(size, overrides or ())
    configs = configs_to_time(sweep, workspace.runs_dir)
    wanted = [name.strip() for name in models.split(",") if name.strip()]
    unknown = [name for name in wanted if name not in configs]
    if unknown:
        raise ConfigError(f"--models {unknown[0]}: no such model; models: {', '.join(configs)}")
    chosen = {name: config for name, config in configs.items() if not wanted or name in wanted}
    return sweep, chosen


def _numbers(text: str, separator: str, option: str, n: int | None = None) -> list[int]:
    from switchhead_lab.errors import ConfigError

    try:
        numbers = [int(part) for part in text.split(separator)]
    except ValueError:
        numbers = []
    if not numbers or min(numbers) < 1 or (n is not None and len(numbers) != n):
        example = "412/76" if separator == "/" else "1,2"
        raise ConfigError(f"{option} {text}: write positive numbers like {example}")
    return numbers
