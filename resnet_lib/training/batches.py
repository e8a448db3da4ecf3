"""Which images make a batch, how they are varied, and what a net says about one."""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy, pad

from resnet_lib.data.images import ImageSet
from resnet_lib.training.recipe import Recipe


def batches(data: ImageSet, recipe: Recipe, seed: int, epoch: int, limit: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch, at most `limit`, where the data are: this process's share of each.

    Choice and variation depend on (seed, epoch) alone, so a run that continues sees what it would have seen, on every
    device.
    """
    rank, processes = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    order = torch.randperm(len(data), generator=generator, device="cpu")
    for picked in order.split(recipe.batch_size)[: min(limit, recipe.steps_per_epoch(len(data)))]:
        images, labels = (part[picked.to(part.device, non_blocking=True)] for part in data)
        if recipe.augment:
            images = augmented(images, generator)
        share = slice(rank, None, processes)
        yield images[share].contiguous(memory_format=torch.channels_last), labels[share]


def augmented(images: Tensor, generator: torch.Generator, border: int = 4) -> Tensor:
    """Every image shifted by up to `border` pixels and half of them mirrored. (N, C, H, W) -> the same.

    The border that comes into view has the value of the darkest pixel. `generator` is the CPU's, on every device.
    """
    count, _, height, width = images.shape
    with torch.device("cpu"):  # whatever torch.set_default_device says
        rows = torch.randint(2 * border + 1, (count, 1, 1), generator=generator) + torch.arange(height)[:, None]
        columns = torch.randint(2 * border + 1, (count, 1, 1), generator=generator) + torch.arange(width)
        mirrored = torch.rand(count, 1, 1, generator=generator) < 0.5
        number, columns = torch.arange(count)[:, None, None], torch.where(mirrored, columns.flip(-1), columns)
    outside = pad(torch.ones_like(images[0, 0]), (border,) * 4) == 0
    background = images.amin()  # a tensor, and no pad(value=…): a GPU would wait for the number
    padded = torch.where(outside, background, pad(images, (border,) * 4))
    number, rows, columns = (part.to(images.device, non_blocking=True) for part in (number, rows, columns))
    return padded[number, :, rows, columns].permute(0, 3, 1, 2)


def loss_and_error(
    forward: nn.Module, images: Tensor, labels: Tensor, classes: int, precision: str = "float32"
) -> tuple[Tensor, Tensor]:
    """Mean cross-entropy of one batch, and the fraction that is classified wrongly. `classes`: see `count_classes`."""
    try:
        short = torch.autocast(images.device.type, torch.bfloat16, cache_enabled=False)
        with short if precision == "bfloat16" else nullcontext():
            logits = forward(images)
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            f"batch_size must be larger, or the images: with {len(images)} of them at a time batch norm has a single "
            "value per channel where the map has shrunk to one pixel, and no variance"
        ) from error
    require_outputs(logits, classes)
    wide = logits if logits.dtype == torch.float64 else logits.float()  # a loss of 16 bits would be too coarse
    return cross_entropy(wide, labels), (logits.argmax(1) != labels).float().mean()


def count_classes(data: object) -> int:
    """One more than the highest label. TypeError or ValueError unless `data` is an ImageSet with labels from 0."""
    if not isinstance(data, ImageSet):
        raise TypeError(
            f"data must be an ImageSet, got {type(data).__name__}; ImageSet(images, labels, classes) makes one of "
            "float32 images (N, C, H, W), int64 labels (N,) and the classes' names"
        )
    if not len(data) or data.labels.min() < 0:
        raise ValueError(f"data must have images, with labels from 0 on; got {len(data)} images")
    return int(data.labels.max()) + 1


def require_outputs(logits: Tensor, classes: int) -> None:
    """ValueError unless the net has an output for every class."""
    if logits.ndim != 2 or logits.shape[1] < classes:
        raise ValueError(
            f"the model must give logits (N, num_classes) with num_classes of at least {classes}, as the labels go up "
            f"to {classes - 1}; it gave {tuple(logits.shape)}. Another head, or data.only([…]), which counts anew"
        )
