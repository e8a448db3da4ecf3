"""How a net is trained, as data: every field is a flag of `python -m resnet_lib train`, and stands in every record."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.optim.lr_scheduler import ConstantLR, LambdaLR, LRScheduler, MultiStepLR, OneCycleLR

from resnet_lib.arguments import require_choice, require_int, require_positive

WARM_STEPS = 400  # of the schedule "paper"


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are lesson 01's: 150 steps of 64 images, enough to see who learns."""

    batch_size: int = 64  # of all processes together
    steps: int = 150
    epochs: int | None = None  # instead of steps: so many passes over the data
    peak_lr: float = 0.1
    schedule: str = "one-cycle"  # or "constant", "milestones" (a tenth at 50 % and 75 %), "paper" (these, warmed up)
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decayed: str = "all"  # parameters, or "weights" (no norms, no biases), or "gammas" (the scales of batch norms)
    optimizer: str = "sgd"  # with momentum; or "adamw", where momentum is the first of its two betas
    augment: bool = False  # pad by 4, crop, flip left to right (He et al. 2015, section 4.2)
    precision: str = "float32"  # or "bfloat16": activations and gradients in 16 bits (autocast), weights in 32
    deterministic: bool = False  # on CUDA: only kernels that give the same result every time; on a CPU they all do

    def __post_init__(self) -> None:
        require_int("batch_size", self.batch_size)
        require_int("steps", self.steps)
        if self.epochs is not None:
            require_int("epochs", self.epochs)
        require_positive("peak_lr", self.peak_lr)
        require_choice("schedule", self.schedule, ("one-cycle", "constant", "milestones", "paper"))
        require_choice("decayed", self.decayed, ("all", "weights", "gammas"))
        require_choice("optimizer", self.optimizer, ("sgd", "adamw"))
        require_choice("precision", self.precision, ("float32", "bfloat16"))

    def steps_per_epoch(self, images: int) -> int:
        """Whole batches only: a small last batch would make noisy batch statistics."""
        if images < self.batch_size:
            raise ValueError(f"batch_size must be at most the {images} images there are, got {self.batch_size}")
        return images // self.batch_size

    def total_steps(self, images: int) -> int:
        """As declared, in steps or in epochs."""
        return self.steps if self.epochs is None else self.epochs * self.steps_per_epoch(images)

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """SGD or AdamW over all parameters, those that decay and those that don't."""
        gammas = {id(m.weight) for m in model.modules() if isinstance(m, nn.BatchNorm2d) and m.affine}
        decays = {
            "all": lambda _: True,
            "weights": lambda parameter: parameter.ndim > 1,
            "gammas": lambda parameter: id(parameter) in gammas,
        }[self.decayed]
        groups = [
            {"params": [p for p in model.parameters() if decays(p) is yes], "weight_decay": self.weight_decay * yes}
            for yes in (True, False)
        ]
        groups = [group for group in groups if group["params"]]
        on_cuda = next(model.parameters()).is_cuda  # there one kernel, which a CUDA graph can hold (fast.py)
        if self.optimizer == "adamw":
            betas = (self.momentum, 0.999)
            return torch.optim.AdamW(groups, self.peak_lr, betas=betas, fused=on_cuda or None, capturable=on_cuda)
        return torch.optim.SGD(groups, self.peak_lr, momentum=self.momentum, fused=on_cuda or None)

    def scheduler(self, optimizer: torch.optim.Optimizer, total: int) -> LRScheduler:
        if self.schedule == "one-cycle":
            return OneCycleLR(optimizer, self.peak_lr, total, cycle_momentum=False)
        if self.schedule == "milestones":
            return MultiStepLR(optimizer, [total // 2, total * 3 // 4])
        if self.schedule == "paper":  # He et al. 2015, section 4.2, with the 400 steps of warm-up of their 110 layers

            def factor(step: int) -> float:
                if step < WARM_STEPS or total // 2 <= step < total * 3 // 4:
                    return 0.1
                return 1.0 if step < total // 2 else 0.01

            return LambdaLR(optimizer, factor)
        return ConstantLR(optimizer, factor=1.0)
