"""The checkpoints that runs of a sweep start from, for models with a source of weights."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from switchhead_lab.config.files import near_miss
from switchhead_lab.config.schema import InitialWeights, RunConfig
from switchhead_lab.config.sources import KEY, source_seed
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.errors import ConfigError, RecordError
from switchhead_lab.sweeping.other_hosts import Fetcher, NoFetcher
from switchhead_lab.sweeping.plan import Infeasible, Variant, config_of
from switchhead_lab.tracking.record import RunRecord, find_run, read_run
from switchhead_lab.tracking.sweep_record import SweepMember
from switchhead_lab.training.initial_weights import (
    last_weights_of,
    misfit,
    require_same_tokenizer,
)


class SourceNotTrainedError(RecordError):
    """A model's source, another model of the sweep, has no finished run."""


class SourceElsewhereError(RecordError):
    """A source has finished, but its weights cannot be read on this host, or not yet.

    Attributes:
        member: The run.
    """

    def __init__(self, member: SweepMember, error: RecordError) -> None:
        super().__init__(str(error))
        self.member = member


class Starts:
    """Finds the checkpoints that the runs of a sweep start from.

    Args:
        sweep: The sweep.
        variants: Its baseline and declared models, matched.
        runs_dir: Folder of all runs.
        fetcher: Fetches sources outside the sweep that other hosts have trained.

    Raises:
        ConfigError: If a source is neither a model of the sweep nor a finished run.
    """

    def __init__(
        self, sweep: Sweep, variants: Sequence[Variant], runs_dir: Path, fetcher: Fetcher
    ) -> None:
        self._sweep, self._runs_dir = sweep, runs_dir
        self._is_on_many_hosts = not isinstance(fetcher, NoFetcher)
        self._entries = sweep.entries
        self._models = {v.name: config_of(sweep, v, v.seeds[0]) for v in variants}
        named = {entry.source for entry in self._entries.values()} - {None, *self._entries}
        self._runs: dict[str, RunRecord] = {}
        self._weights: dict[str, InitialWeights] = {}
        for source in sorted(filter(None, named)):
            fetcher.bring(source, weights=True)
            self._runs[source], self._weights[source] = self._outside(source)

    def require_possible(self, variants: Sequence[Variant], manifest: Mapping[str, Any]) -> None:
        """Check before training that the weights of sources fit the models.

        The best candidate of a search, as a source, is known only later.

        Args:
            variants: The baseline and the declared models.
            manifest: Description of the sweep's data set.

        Raises:
            ConfigError: If a source has another tokenizer or weights of other shapes.
        """
        for run in self._runs.values():
            require_same_tokenizer(run, self._sweep.data, manifest)
        for variant in variants:
            if reason := self._misfit(variant):
                raise ConfigError(f'sweep {self._sweep.name}, model "{variant.name}": {reason}')

    def fitting(self, candidate: Variant | Infeasible) -> Variant | Infeasible:
        """Return a candidate of a search, infeasible if its source's weights do not fit."""
        if isinstance(candidate, Variant) and (reason := self._misfit(candidate)):
            return Infeasible(candidate.name, candidate.point, reason)
        return candidate

    def find(self, name: str, seed: int, members: Sequence[SweepMember]) -> InitialWeights | None:
        """Return the checkpoint that a run starts from; None to initialise from the seed.

        Args:
            name: Name of the model or study.
            seed: Seed of the run.
            members: Runs of the sweep so far.

        Raises:
            SourceNotTrainedError: If the source is an untrained model of the sweep.
            SourceElsewhereError: If hosts share an object store, and its run or weights are
                missing or damaged here.
            RecordError: If they are on a single host.
        """
        source = self._entries[name].source
        if source is None or source in self._weights:
            return None if source is None else self._weights[source]
        wanted = source_seed(seed, self._entries[source].seeds)
        for member in reversed(members):
            is_source = (member.model, member.seed) == (source, wanted)
            if is_source and member.role != "candidate" and member.state == "finished":
                return self._weights_of(source, member)
        raise SourceNotTrainedError(
            f"{source}, whose weights it starts from, has no finished run with seed {wanted}"
        )

    def sources_among(self, members: Sequence[SweepMember]) -> list[SweepMember]:
        """Return the finished runs of a sweep that others of its models may start from."""
        sources = {entry.source for entry in self._entries.values()}
        return [
            member
            for member in members
            if member.model in sources and member.role != "candidate" and member.state == "finished"
        ]

    def _weights_of(self, source: str, member: SweepMember) -> InitialWeights:
        try:
            run = read_run(self._runs_dir / member.run_name)
            self._models[source] = run.config
            return last_weights_of(run)
        except RecordError as error:
            if self._is_on_many_hosts:
                raise SourceElsewhereError(member, error) from None
            raise

    def _outside(self, source: str) -> tuple[RunRecord, InitialWeights]:
        name = next(name for name, entry in self._entries.items() if entry.source == source)
        where = f'sweep {self._sweep.name}, model "{name}": {KEY} = "{source}"'
        try:
            run = find_run(self._runs_dir, source)
            return run, last_weights_of(run)
        except RecordError as error:
            hint = near_miss(source, list(self._entries))
            models = ", ".join(other for other in self._entries if other != name)
            raise ConfigError(
                f"{where}: no model of the sweep{hint}, which has {models}; {error}"
            ) from None

    def _misfit(self, variant: Variant) -> str:
        """Return which weights of its source do not fit a model; empty if all fit or are unknown.

        If the source is searched for, the architecture of its runs counts.
        """
        source = self._entries[variant.name].source
        theirs: RunConfig | None = None
        if source in self._runs:
            theirs = self._runs[source].config
        elif source is not None:
            theirs = self._models.get(source)
        if theirs is None:
            return ""
        fault = misfit(theirs, config_of(self._sweep, variant, variant.seeds[0]))
        return fault and f"weights of {source} do not fit: {fault}; use equal sizes"
