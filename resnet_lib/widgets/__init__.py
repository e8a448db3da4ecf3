"""Explorers, live curves and plots: what a lesson shows. Each drawing comes with the same in words."""

from resnet_lib.widgets.live import LiveCurve
from resnet_lib.widgets.plots import plot_curves

__all__ = ["LiveCurve", "plot_curves"]
