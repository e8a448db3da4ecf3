"""What the resume tests run in processes of their own, where it can be killed."""

from pathlib import Path

import torch
from safetensors.torch import save_file

from resnet_lib.data.images import ImageSet
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.training.checkpoints import CheckpointFolder
from resnet_lib.training.history import History
from resnet_lib.training.loop import Recipe, Run, seeded, start, train

RECIPE = Recipe(batch_size=16, epochs=8, augment=True)
IDENTITY = {"net": "residual-8", "seed": 3}


def images(count: int = 96) -> ImageSet:
    """Noise with a learnable label: small, so that a run takes a second."""
    generator = torch.Generator().manual_seed(0)
    pictures = torch.randn(count, 1, 8, 8, generator=generator)
    return ImageSet(pictures, (pictures.mean((1, 2, 3)) > 0).long(), ("dark", "bright"))


def net() -> torch.nn.Module:
    with seeded(3):
        return cifar_resnet(8, width=4, in_channels=1, num_classes=2)


def fresh_run() -> Run:
    return start(net(), RECIPE, 48)


def run(folder: Path, result: Path) -> History:
    """Train to the end, continuing what `folder` holds, and leave weights and history in `result`."""
    torch.set_num_threads(1)
    model = net()
    data = images()
    history = train(model, data, RECIPE, seed=3, test_data=data, checkpoints=CheckpointFolder(folder, IDENTITY))
    tensors = {key: value.contiguous() for key, value in model.state_dict().items()}
    tensors["history"] = torch.tensor(history.loss + history.lr + [record.test_error for record in history.epochs])
    save_file(tensors, result)
    return history
