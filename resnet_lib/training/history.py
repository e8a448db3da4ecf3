"""What a training run leaves behind: one number per step, one record per epoch."""

from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler


@dataclass
class EpochRecord:
    """Errors as fractions, measured in eval mode (running statistics) when an epoch had ended."""

    epoch: int  # 1 is the first
    step: int
    train_loss: float
    train_error: float
    test_loss: float | None = None
    test_error: float | None = None


@dataclass
class History:
    """Loss and error of every training batch, in train mode (batch statistics), before its step was taken."""

    loss: list[float] = field(default_factory=list)
    error: list[float] = field(default_factory=list)  # fraction of the batch that was classified wrongly
    lr: list[float] = field(default_factory=list)
    epochs: list[EpochRecord] = field(default_factory=list)
    seconds: float = 0.0

    def __len__(self) -> int:
        return len(self.loss)

    def final_error(self, last: int = 20) -> float:
        """Mean error over the last batches: one batch alone is too noisy to compare."""
        if not self.error:
            raise ValueError("the history is empty: train first")
        tail = self.error[-last:]
        return sum(tail) / len(tail)

    def to_dict(self) -> dict[str, Any]:
        """For JSON; `History.from_dict` reads it back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "History":
        return cls(**{**values, "epochs": [EpochRecord(**record) for record in values["epochs"]]})


@dataclass
class Run:
    """All that changes while a net trains. A checkpoint is one of these, written down."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    history: History
