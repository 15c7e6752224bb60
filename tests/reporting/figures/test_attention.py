import numpy as np
import pytest

from switchhead_lab.reporting.figures.attention import AttentionPanel, draw_attention

pytestmark = pytest.mark.draws_figures

TOKENS = ["[MAX", "2", "9", "]"]
MAP = np.eye(4, dtype=np.float32) * 0.75 + 0.06
CHOICE = np.array([[0.9, 0.0], [0.0, 0.8], [0.7, 0.0], [0.0, 0.6]], dtype=np.float32)


def draw(**changes):
    panel = {"title": "layer 1", "weights": MAP} | changes
    return draw_attention([[AttentionPanel(**panel)]], TOKENS, "title")


def test_equal_maps_give_equal_bytes():
    first = draw(output_choice=CHOICE, value_choice=CHOICE)
    assert list(first.files("figure2")) == ["figure2.png", "figure2.svg", "figure2.pdf"]
    assert draw(output_choice=CHOICE, value_choice=CHOICE) == first


@pytest.mark.thorough
def test_bytes_do_not_depend_on_the_last_bits():
    assert draw(weights=MAP + np.float32(1e-6)) == draw()
    assert draw(weights=MAP + np.float32(1e-2)) != draw()


def test_choices_of_both_routers_are_drawn():
    plain, value, output = draw(), draw(value_choice=CHOICE), draw(output_choice=CHOICE)
    assert len({files.by_format["svg"] for files in (plain, value, output)}) == 3


def test_tokens_are_written():
    svg = draw().by_format["svg"].decode()
    assert svg.count("<!-- [MAX -->") == 2


def test_rows_may_have_fewer_panels():
    panel = AttentionPanel("a", MAP)
    assert draw_attention([[panel, panel], [panel]], TOKENS, "title")
