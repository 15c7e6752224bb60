"""Names of studies in Optuna's storage (free of Optuna)."""

from switchhead_lab.config.identity import hash_of
from switchhead_lab.config.objective import DEFAULT_OBJECTIVE
from switchhead_lab.config.search import Study
from switchhead_lab.config.sweep import Sweep
from switchhead_lab.tracking.sweep_record import sweep_id


def study_name(sweep: Sweep, config: Study, generation: int = 1) -> str:
    """Return the study's name, which depends on everything that affects a trial's result.

    It excludes the number of trials and the seeds after the first, so that raising them continues
    the study, and for language models the default metric.

    Args:
        sweep: The sweep.
        config: Its study.
        generation: Counts up whenever the study starts over.
    """
    meaning = config.model_dump(mode="json", exclude={"n_trials", "first"})
    meaning["seeds"] = meaning["seeds"][:1]
    if isinstance(config.model, str) and config.model != sweep.baseline.name:
        meaning["model"] = sweep.template_of(config)
    if sources := _sources_of(sweep, config):
        meaning["sources"] = sources
    if sweep.objective != DEFAULT_OBJECTIVE:
        meaning["metric"] = sweep.objective.headline.name
    name = f"{sweep_id(sweep)}-{config.name}-{hash_of(meaning)[:8]}"
    return name if generation == 1 else f"{name}-{generation}"


def _sources_of(sweep: Sweep, config: Study) -> list[object]:
    """Return the declarations of the models that a study starts from, nearest first."""
    declared = {model.name: model for model in sweep.models}
    searched = {study.name: study for study in sweep.studies}
    chain: list[object] = []
    source = sweep.entries[config.name].source
    while source is not None:
        known = declared.get(source) or searched.get(source)
        chain.append(known.model_dump(mode="json") if known else source)
        source = sweep.entries[source].source if source in sweep.entries else None
    return chain
