"""Residual networks, small enough to read. The names a lesson imports; each is loaded when it is first used."""

from importlib import import_module
from typing import Any

_HOME = {
    "models.shortcuts": ("IdentityShortcut", "ProjectionShortcut", "ZeroPadShortcut"),
    "models.blocks": ("BasicBlock", "Bottleneck", "PreActBasicBlock", "PreActBottleneck"),
    "models.resnet": (
        "PRESETS",
        "Config",
        "ResNet",
        "build",
        "plain18",
        "plain34",
        "resnet18",
        "resnet34",
        "resnet50",
        "resnet50v2",
        "resnet101",
        "resnet101v2",
        "resnet152",
        "resnet152v2",
    ),
    "models.orders": ("ORDERS",),
    "models.cifar": ("cifar_plain", "cifar_resnet"),
    "probes.costs": ("CostTable", "cost_table", "count_macs", "count_parameters", "receptive_field"),
    "models.weights": ("load_keras_weights", "load_pretrained"),
    "models.folding": ("fold_batch_norm",),
    "data.photo": ("load_photo",),
    "probes.gradients": ("gradient_agreement", "gradient_correlation", "gradient_norms"),
    "probes.signal": ("activation_stats", "branch_norms", "effective_receptive_field", "layer_responses"),
    "probes.lesions": ("all_subsets", "gradient_by_path_length", "lesion", "path_lengths"),
    "probes.landscape": ("LossSurface", "filter_normalised", "loss_surface"),
    "probes.saliency": ("grad_cam",),
    "probes.variants": ("scrambled", "variant"),
    "widgets.architecture": ("ArchitectureExplorer",),
    "widgets.gradient_flow": ("GradientFlowExplorer",),
    "widgets.landscape": ("LandscapeExplorer",),
    "widgets.lesions": ("LesionExplorer",),
    "widgets.paths": ("PathExplorer",),
    "widgets.replay": ("TrainingReplay",),
    "widgets.shortcut": ("ShortcutExplorer",),
    "data.images": ("SHOES", "ImageSet", "load_cifar10", "load_fashion_mnist"),
    "training.history": ("History",),
    "training.loop": ("Recipe", "augmented", "evaluate", "seeded", "train"),
    "training.progress": ("ProgressBar",),
    "experiments.declared": ("EXPERIMENTS",),
    "experiments.records": ("load_record", "load_recorded_net", "load_records"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Import a public name from where it lives (PEP 562), so that `import resnet_lib` costs nothing."""
    if name not in _MODULE_OF:
        raise AttributeError(f"resnet_lib has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"resnet_lib.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return __all__
