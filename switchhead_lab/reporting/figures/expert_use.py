"""The figure of a model's use of its experts."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

from switchhead_lab.reporting.expert_use import ExpertUse, RouterKind
from switchhead_lab.reporting.figure_layout import SERIES
from switchhead_lab.reporting.figures.style import (
    SHADES,
    Figures,
    save,
    styled_figure,
)

_WIDTH_INCHES, _ROW_INCHES, _MARGIN_INCHES = 7.2, 0.2, 1.5
_LEAST_HEIGHT_INCHES = 2.7


def draw_expert_use(use: ExpertUse) -> Figures:
    """Draw the share of each expert by layer and head for each kind of router, and use over time.

    Shares are relative to even use: 1 is even, 0 never chosen.
    """
    n_layers = max(len(kind.share_LHE) for kind in use.kinds)
    height = max(_LEAST_HEIGHT_INCHES, _MARGIN_INCHES + _ROW_INCHES * n_layers)
    with styled_figure(_WIDTH_INCHES, height) as figure:
        panels = figure.subplots(1, len(use.kinds) + 1, squeeze=False)[0]
        figure.suptitle(f"{use.model}, seed {use.seed}: use of experts", x=0.01, ha="left")
        panels[0].set_ylabel("layer")
        top = max(_relative(kind).max() for kind in use.kinds)
        for axes, kind in zip(panels, use.kinds, strict=False):
            image = _draw_shares(axes, kind, max(2.0, float(top)))
        bar = figure.colorbar(image, ax=list(panels[: len(use.kinds)]), shrink=0.8, pad=0.01)
        bar.set_label("choices / even use", fontsize=8.5)
        bar.outline.set_linewidth(0.5)
        _draw_entropy(panels[-1], use.kinds)
        if len(use.kinds) > 1:
            figure.legend(loc="outside lower right", ncols=len(use.kinds))
        return save(figure)


def _relative(kind: RouterKind) -> npt.NDArray[np.float64]:
    """Return shares over the even share, by layer and by expert of all heads, [L, H * E]."""
    share_LHE = np.array(kind.share_LHE, dtype=np.float64)
    relative: npt.NDArray[np.float64] = share_LHE * share_LHE.shape[-1]
    return relative.reshape(len(share_LHE), -1)


def _draw_shares(axes: Axes, kind: RouterKind, top: float) -> AxesImage:
    relative = _relative(kind)
    n_heads, n_experts = len(kind.share_LHE[0]), len(kind.share_LHE[0][0])
    image = axes.imshow(relative, cmap=SHADES, vmin=0.0, vmax=top, aspect="auto")
    for head in range(1, n_heads):
        axes.axvline(head * n_experts - 0.5, color="white", linewidth=2.0)
    axes.grid(visible=False)
    axes.set_title(kind.name, fontsize=9.5)
    if n_heads == 1:
        axes.set_xticks([])
        axes.set_xlabel("experts")
    else:
        middles = [head * n_experts + (n_experts - 1) / 2 for head in range(n_heads)]
        axes.set_xticks(middles, [str(head + 1) for head in range(n_heads)])
        axes.set_xlabel("experts by head")
    axes.set_yticks(range(len(relative)), [str(layer + 1) for layer in range(len(relative))])
    return image


def _draw_entropy(axes: Axes, kinds: Sequence[RouterKind]) -> None:
    for number, kind in enumerate(kinds):
        colour, _, line = SERIES[1 + number % (len(SERIES) - 1)]
        steps, values = [step for step, _ in kind.entropy], [value for _, value in kind.entropy]
        marker = "." if len(steps) == 1 else ""
        axes.plot(steps, values, color=colour, linestyle=line, marker=marker, label=kind.name)
    axes.set_title("evenness of use", fontsize=9.5)
    axes.set_xlabel("steps")
    axes.set_ylim(min([0.9, *(v for kind in kinds for _, v in kind.entropy)]) - 0.02, 1.005)
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
