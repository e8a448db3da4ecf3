"""Run by torchrun in test_distributed.py: train a few steps on two processes and write down what came out."""

import sys
from pathlib import Path

import torch
from resume_child import images
from safetensors.torch import save_file
from torch import distributed, nn

from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.training.devices import process_group
from resnet_lib.training.loop import Recipe, seeded, train


def net_without_norm() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(),
        nn.Conv2d(4, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 2),
    )


def run(kind: str, result: Path) -> None:
    """Train with batches of 16 images, however many processes share them."""
    torch.set_num_threads(1)
    with process_group(torch.device("cpu")) as rank:
        with seeded(3):
            model = (
                net_without_norm() if kind == "without-norm" else cifar_resnet(8, width=4, in_channels=1, num_classes=2)
            )
        recipe = Recipe(batch_size=16, steps=9, augment=True)
        history = train(model, images(), recipe, seed=3)
        tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
        tensors["history.loss"] = torch.tensor(history.loss)
        if distributed.is_initialized():  # both processes must hold the same weights at the end
            for parameter in model.parameters():
                theirs = parameter.detach().clone()
                distributed.broadcast(theirs, src=0)
                assert torch.equal(theirs, parameter.detach())
        if rank == 0:
            save_file(tensors, result)


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]))
