"""Residual networks, small enough to read. The names that a lesson imports.

Explorers are imported when they are first used: the library works without ipywidgets and matplotlib, which come with
the extra `course`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from resnet_lib.data.images import SHOES, ImageSet, load_cifar10, load_fashion_mnist
from resnet_lib.data.photo import load_photo
from resnet_lib.experiments.declared import EXPERIMENTS
from resnet_lib.experiments.records import load_record, load_recorded_net, load_records
from resnet_lib.models.blocks import BasicBlock, Bottleneck, PreActBasicBlock, PreActBottleneck
from resnet_lib.models.cifar import cifar_plain, cifar_resnet
from resnet_lib.models.folding import fold_batch_norm
from resnet_lib.models.orders import ORDERS
from resnet_lib.models.resnet import (
    PRESETS,
    Config,
    ResNet,
    build,
    plain18,
    plain34,
    resnet18,
    resnet34,
    resnet50,
    resnet50v2,
    resnet101,
    resnet101v2,
    resnet152,
    resnet152v2,
)
from resnet_lib.models.shortcuts import IdentityShortcut, ProjectionShortcut, ZeroPadShortcut
from resnet_lib.models.weights import load_keras_weights, load_pretrained, load_weights
from resnet_lib.probes.costs import CostTable, cost_table, count_macs, count_parameters, receptive_field
from resnet_lib.probes.gradients import (
    effective_learning_rates,
    gradient_agreement,
    gradient_correlation,
    gradient_norms,
)
from resnet_lib.probes.landscape import LossSurface, filter_normalised, loss_surface
from resnet_lib.probes.lesions import all_subsets, gradient_by_path_length, lesion, path_lengths
from resnet_lib.probes.saliency import grad_cam
from resnet_lib.probes.signal import activation_stats, branch_norms, effective_receptive_field, layer_responses
from resnet_lib.probes.variants import scrambled, variant
from resnet_lib.training.batches import augmented
from resnet_lib.training.history import History
from resnet_lib.training.loop import evaluate, seeded, train
from resnet_lib.training.progress import ProgressBar
from resnet_lib.training.recipe import Recipe

if TYPE_CHECKING:
    from resnet_lib.widgets.architecture import ArchitectureExplorer
    from resnet_lib.widgets.gradient_flow import GradientFlowExplorer
    from resnet_lib.widgets.landscape import LandscapeExplorer
    from resnet_lib.widgets.lesions import LesionExplorer
    from resnet_lib.widgets.paths import PathExplorer
    from resnet_lib.widgets.replay import TrainingReplay
    from resnet_lib.widgets.shortcut import ShortcutExplorer

_EXPLORERS = {  # and their modules in resnet_lib.widgets
    "ArchitectureExplorer": "architecture",
    "GradientFlowExplorer": "gradient_flow",
    "LandscapeExplorer": "landscape",
    "LesionExplorer": "lesions",
    "PathExplorer": "paths",
    "TrainingReplay": "replay",
    "ShortcutExplorer": "shortcut",
}

__all__ = [
    "EXPERIMENTS",
    "ORDERS",
    "PRESETS",
    "SHOES",
    "ArchitectureExplorer",
    "BasicBlock",
    "Bottleneck",
    "Config",
    "CostTable",
    "GradientFlowExplorer",
    "History",
    "IdentityShortcut",
    "ImageSet",
    "LandscapeExplorer",
    "LesionExplorer",
    "LossSurface",
    "PathExplorer",
    "PreActBasicBlock",
    "PreActBottleneck",
    "ProgressBar",
    "ProjectionShortcut",
    "Recipe",
    "ResNet",
    "ShortcutExplorer",
    "TrainingReplay",
    "ZeroPadShortcut",
    "activation_stats",
    "all_subsets",
    "augmented",
    "branch_norms",
    "build",
    "cifar_plain",
    "cifar_resnet",
    "cost_table",
    "count_macs",
    "count_parameters",
    "effective_learning_rates",
    "effective_receptive_field",
    "evaluate",
    "filter_normalised",
    "fold_batch_norm",
    "grad_cam",
    "gradient_agreement",
    "gradient_by_path_length",
    "gradient_correlation",
    "gradient_norms",
    "layer_responses",
    "lesion",
    "load_cifar10",
    "load_fashion_mnist",
    "load_keras_weights",
    "load_photo",
    "load_pretrained",
    "load_record",
    "load_recorded_net",
    "load_records",
    "load_weights",
    "loss_surface",
    "path_lengths",
    "plain18",
    "plain34",
    "receptive_field",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet50v2",
    "resnet101",
    "resnet101v2",
    "resnet152",
    "resnet152v2",
    "scrambled",
    "seeded",
    "train",
    "variant",
]


def __getattr__(name: str) -> Any:
    """An explorer, imported now (PEP 562)."""
    if name not in _EXPLORERS:
        raise AttributeError(f"resnet_lib has no {name!r}; it has {', '.join(__all__)}")
    try:
        return getattr(import_module(f"resnet_lib.widgets.{_EXPLORERS[name]}"), name)
    except ModuleNotFoundError as error:
        raise ImportError(f"{name} needs {error.name}: install the course, pip install 'resnet-lib[course]'") from error


def __dir__() -> list[str]:
    return list(__all__)
