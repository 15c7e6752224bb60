"""The audit finds and computes known disagreements, and its page shows them."""

import pytest

from switchhead_lab.budget.costs import attention_macs
from switchhead_lab.paper import figures
from switchhead_lab.paper.models import model_of
from switchhead_lab.reporting import audit
from switchhead_lab.reporting.audit_page import audit_page, write_audit


@pytest.fixture(scope="module")
def page() -> str:
    return audit_page()


def test_published_reproduces_every_printed_cost() -> None:
    lines = list(audit.cost_lines())
    assert len(lines) == 2 * 55
    assert all(line.published_agrees for line in lines)


def test_equations_differ_where_the_position_term_does() -> None:
    lines = {(line.label, line.quantity): line for line in audit.cost_lines()}
    line = lines["Table 1 wikitext103 47M switchhead H=2", "MACs"]
    assert not line.equations_agree
    assert figures.prints_as(line.equations, "200.3M")
    assert lines["Table 1 wikitext103 47M transformer H=10", "MACs"].equations_agree


def test_sizes_that_differ_are_explained() -> None:
    lines = {line.label: line for line in audit.size_lines() if not line.agrees}
    assert all(line.explanation for line in lines.values())
    assert "Table 9 calls it 259M" in lines["Table 3 c4 262M switchall H=4"].explanation
    assert "Table 9 calls it 243M" in lines["Table 7 c4 244M switchhead-rope H=4"].explanation
    grown = lines["Table 8 c4 314M switchhead-rope-mac-matched"]
    assert "d_head 130" in grown.explanation
    assert round(grown.n_parameters / 1e6) == 356


def test_every_printed_size_is_met_by_some_model() -> None:
    met = {line.printed for line in audit.size_lines() if line.agrees}
    own = {round(line.n_parameters / 1e6) for line in audit.size_lines()}
    assert {47, 262, 45, 244, 41, 63, 376, 54} <= met
    assert {259, 243} <= own


def test_widths_follow_from_the_dense_rows() -> None:
    lines = list(audit.match_lines())
    assert len(lines) == 12
    assert all(line.d_head == line.printed_d_head for line in lines)
    assert max(abs(line.d_ff - line.printed_d_ff) for line in lines) <= 6


def test_memory_that_the_table_denies() -> None:
    denied = [p for p in audit.printed_models() if audit.without_memory(p) is not None]
    assert [p.row["n_heads"] for p in denied] == [4, 4]
    macs, floats = audit.without_memory(denied[0])
    assert figures.prints_as(macs, "3.37G")
    assert figures.prints_as(floats, "10.0M")


def test_tables_that_disagree() -> None:
    found = {(d.model, d.first, d.second) for d in audit.disagreements()}
    assert ("c4 47M transformer, ppl", "Table 2: 22.71", "Table 3: 22.63") in found
    assert ("c4 262M transformer, ppl", "Table 2: 16.28", "Table 3: 16.58") in found
    assert ("c4 45M transformer-rope, ppl", "Table 7: 23.79", "Table 8: 23.76") in found
    # 170.4M and 170M, 453.4M and 453M are equal at the printed precision.
    assert not any("macs" in model or "mem" in model for model, *_ in found)


def test_a_changed_figure_changes_the_audit(monkeypatch) -> None:
    tables = [dict(table) for table in figures.load_tables()]
    tables[0]["rows"] = [{**row, "macs": "171.4M"} for row in tables[0]["rows"][:1]]
    changed = {**figures.load_figures(), "table": tables}
    monkeypatch.setattr(figures, "load_figures", lambda: changed)
    first = next(audit.cost_lines())
    assert not first.published_agrees
    model = model_of("switchhead", 47, 2, "wikitext103")
    assert first.published == attention_macs(model, "published")


def test_page_has_every_section_and_is_reproducible(page: str, tmp_path) -> None:
    path, text = write_audit(tmp_path / "reports")
    assert path.read_text(encoding="utf-8") == text == page
    for title in ("Costs", "Model sizes", "Widths of Table 9", "different values for one model"):
        assert f"## {title}" in page or title in page
    assert "`published` reproduces 110 of 110" in page
    assert "3,365,470,208" in page
