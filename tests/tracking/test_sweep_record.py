from switchhead_lab.budget.counter import closed_form_counter
from switchhead_lab.budget.model_costs import count_costs
from switchhead_lab.config.files import parse
from switchhead_lab.config.search import Study, objectives_of
from switchhead_lab.objectives.language_model import LanguageModelling
from switchhead_lab.tracking.sweep_record import read_objective

STUDY = {
    "model": {"kind": "switchhead"},
    "space": {"n_heads": [1, 2]},
    "n_trials": 1,
    "objectives": ["validation/perplexity", "macs"],
}


def test_a_search_reads_metrics_of_the_validation_split(make_run) -> None:
    run = make_run()
    assert (run.result.validation["perplexity"], run.result.test["perplexity"]) == (2.5, 3.0)
    metric, macs = objectives_of(parse(Study, STUDY, "test"), LanguageModelling())
    counters = [closed_form_counter("published")]
    costs = count_costs(run.config.model, counters, 256, convention="published")
    assert read_objective(metric, run.result, costs) == 2.5
    assert read_objective(macs, run.result, costs) == costs.macs
