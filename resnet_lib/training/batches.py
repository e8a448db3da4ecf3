"""Which images make a batch, how they are varied, and what a net says about one."""

from collections.abc import Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, distributed, nn
from torch.nn.functional import cross_entropy, pad

from resnet_lib.data.images import ImageSet
from resnet_lib.training.recipe import Recipe

BORDER = 4  # pixels of an image's shift, at most


def picks(
    data: ImageSet, recipe: Recipe, seed: int, epoch: int, limit: int
) -> Iterator[tuple[Tensor, tuple[Tensor, Tensor] | None]]:
    """For at most `limit` batches of one epoch: the numbers of the images (N,), and how they are varied, if they are.

    Both depend on (seed, epoch) alone, so a run that continues sees what it would have seen, on every device.
    """
    height, width = data.images.shape[-2:]
    generator = torch.Generator().manual_seed(seed * 100_003 + epoch)
    order = torch.randperm(len(data), generator=generator, device="cpu")
    for step in range(min(limit, recipe.steps_per_epoch(len(data)))):
        picked = order[step * recipe.batch_size : (step + 1) * recipe.batch_size]
        yield picked, crops(len(picked), height, width, generator) if recipe.augment else None


def batches(
    data: ImageSet, recipe: Recipe, seed: int, epoch: int, limit: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of one epoch, at most `limit`: this process's share of each."""
    rank, processes = (distributed.get_rank(), distributed.get_world_size()) if distributed.is_initialized() else (0, 1)
    for picked, variation in picks(data, recipe, seed, epoch, limit):
        images = data.images[picked]
        if variation:
            images = cut_out(images, *variation)
        share = slice(rank, None, processes)
        images = images[share].contiguous(memory_format=torch.channels_last)
        yield images.to(device), data.labels[picked[share]].to(device)


def augmented(images: Tensor, generator: torch.Generator, border: int = BORDER) -> Tensor:
    """Every image shifted by up to `border` pixels and half of them mirrored. (N, C, H, W) -> the same."""
    count, _, height, width = images.shape
    return cut_out(images, *crops(count, height, width, generator, border), border)


def crops(
    count: int, height: int, width: int, generator: torch.Generator, border: int = BORDER
) -> tuple[Tensor, Tensor]:
    """Random places in images with a border: rows (count, height, 1) and columns (count, 1, width)."""
    with torch.device("cpu"):  # where the generator is, whatever torch.set_default_device says
        rows = torch.randint(2 * border + 1, (count, 1, 1), generator=generator) + torch.arange(height)[:, None]
        columns = torch.randint(2 * border + 1, (count, 1, 1), generator=generator) + torch.arange(width)
        mirrored = torch.rand(count, 1, 1, generator=generator) < 0.5
        return rows, torch.where(mirrored, columns.flip(-1), columns)


def cut_out(images: Tensor, rows: Tensor, columns: Tensor, border: int = BORDER) -> Tensor:
    """The pixels at `rows` and `columns` of images (N, C, H, W) with a border of background: the same shape."""
    outside = pad(torch.ones_like(images[0, 0]), (border,) * 4) == 0
    padded = torch.where(
        outside, images.amin(), pad(images, (border,) * 4)
    )  # not pad's value=: a GPU would wait for it
    number = torch.arange(len(images), device=images.device)[:, None, None]
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
