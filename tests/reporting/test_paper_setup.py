from pathlib import Path

import pytest

from switchhead_lab.config.sweep_files import find_sweep
from switchhead_lab.reporting.paper_setup import paper_caption
from switchhead_lab.reporting.report_data import read_report_data
from switchhead_lab.sweeping.plan import declared_variants, resolved_model
from switchhead_lab.tracking.sweep_record import SweepRecord

SWEEPS = Path(__file__).parents[2] / "sweeps"


def caption_of(name: str, size: str, *overrides: str) -> str:
    sweep = find_sweep(SWEEPS, name).resolve(size, overrides)
    models = [resolved_model(sweep, variant) for variant in declared_variants(sweep)[:1]]
    record = SweepRecord(sweep=sweep, models=models, started_at=0.0, updated_at=0.0)
    return paper_caption(sweep.paper, read_report_data(record, Path("none")))


@pytest.mark.parametrize(
    ("name", "size"),
    [
        *(("paper/table2-wikitext103", size) for size in ("small", "large")),
        *(("paper/table2-c4", size) for size in ("small", "large")),
        ("paper/table2-enwik8", "small"),
        *(("paper/table7-c4", size) for size in ("small", "large")),
        ("paper/table3-pes2o", "small"),
    ],
)
def test_sweeps_at_the_papers_sizes_have_its_setup(name: str, size: str) -> None:
    assert "corpus, tokenizer, size and training budget are the paper's" in caption_of(name, size)


def test_everything_differs_in_small_comparisons() -> None:
    caption = caption_of("matched-params", "pocket")
    assert "; our corpus, tokenizer, size and training budget differ, so compare" in caption


@pytest.mark.parametrize(
    ("override", "difference"),
    [
        ("training.n_steps=1000", "training budget differs"),
        ("training.batch_size=32", "training budget differs"),
        ("data.corpus=mine", "corpus differs"),
        ("data.tokenizer.vocab_size=4000", "tokenizer and size differ"),
        ("model.n_layers=8", "size differs"),
    ],
)
def test_what_differs_is_named(override: str, difference: str) -> None:
    assert f"; our {difference}, so" in caption_of("paper/table2-wikitext103", "small", override)
