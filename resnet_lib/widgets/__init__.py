"""Explorers, live curves, plots and drawings: what a lesson shows. Each comes with the same in words."""

from resnet_lib.widgets.architecture import ArchitectureExplorer
from resnet_lib.widgets.explorer import Explorer
from resnet_lib.widgets.figures import blocks_figure, bottleneck_figure, columns_figure, line_figure, paths_figure
from resnet_lib.widgets.gradient_flow import GradientFlowExplorer
from resnet_lib.widgets.landscape import LandscapeExplorer
from resnet_lib.widgets.lesions import LesionExplorer
from resnet_lib.widgets.live import LiveCurve
from resnet_lib.widgets.paths import PathExplorer
from resnet_lib.widgets.plots import plot_curves
from resnet_lib.widgets.replay import TrainingReplay
from resnet_lib.widgets.shortcut import ShortcutExplorer

__all__ = [
    "ArchitectureExplorer",
    "GradientFlowExplorer",
    "LandscapeExplorer",
    "LesionExplorer",
    "LiveCurve",
    "PathExplorer",
    "ShortcutExplorer",
    "TrainingReplay",
    "blocks_figure",
    "bottleneck_figure",
    "columns_figure",
    "line_figure",
    "paths_figure",
    "plot_curves",
]


def shipped() -> tuple[Explorer, ...]:
    """An explorer for each grid that comes with the library."""
    kinds: list[type[Explorer]] = [globals()[name] for name in __all__ if name.endswith("Explorer")]
    replays = (("degradation-sweep", None), ("degradation-sweep", "plain"), ("trained-nets", None))
    return (*(kind() for kind in kinds), *(TrainingReplay(runs, nets=nets) for runs, nets in replays))
