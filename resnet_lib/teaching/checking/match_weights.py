"""The same weights for the learner's module and the library's, whatever their names, order and layout.

Weights of one shape all get the same values, and a kernel is the same from channel i to j as from j to i. So nothing
has to be matched: two modules of one architecture compute the same. (What uses one weight twice and another never
leaves that one idle, which the trace sees.)
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache, lru_cache

import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking.values import noise

Shape = tuple[int, ...]


@cache
def shape_of(shape: Shape) -> Shape:
    """What counts of a shape: in and out may change places, a kernel's axes come first, a 1×1 kernel be a matrix."""
    shape = _kernel_last(shape)
    return tuple(size for size in (*sorted(shape[:2]), math.prod(shape[2:])) if size != 1) or (1,)


def unfolded(weights: Iterable[Shape]) -> dict[Shape, Shape]:
    """The shapes of kernels by those of the matrices that `unfold` is multiplied with, from the left or the right."""
    kernels = [shape for shape in weights if math.prod(shape[2:]) > 1]
    matrices = [(shape[0], math.prod(shape[1:])) for shape in kernels]
    return dict(zip(matrices, kernels, strict=True)) | {m[::-1]: k for m, k in zip(matrices, kernels, strict=True)}


def _kernel_last(shape: Shape) -> Shape:
    """(in, out, k, k) for a kernel of shape (k, k, in, out)."""
    ahead, behind = (two in ((1, 1), (3, 3), (7, 7)) for two in (shape[:2], shape[2:]))
    in_front = len(shape) == 4 and ahead and (not behind or shape[:2] == (1, 1) != shape[2:])
    return shape[2:] + shape[:2] if in_front else shape


def shapes_of(weights: nn.Module | Iterable[Shape]) -> tuple[Shape, ...]:
    shapes = (tuple(p.shape) for p in weights.parameters()) if isinstance(weights, nn.Module) else weights
    return tuple(sorted(map(shape_of, shapes)))


@lru_cache(64)
def _values(shape: Shape) -> Tensor:
    """Random weights that let no mistake hide: gammas and betas of both signs, some small, some large."""
    if len(shape_of(shape)) < 2:
        values = noise(math.prod(shape), seed=11)
        return (values.sign() * (0.3 + 0.3 * values.abs().clamp(max=1)) * (1 + 6 * (values.abs() > 1.2))).view(shape)
    (few, many), kernel = sorted(shape[:2]), shape[2:]
    values = noise(few, many, *kernel, seed=few + many) * math.sqrt(1.5 / math.prod(kernel) / math.sqrt(few * many))
    turns = [(1, 0, 2, 3), (0, 1, 3, 2), (2, 3, 0, 1)] if shape[:2] == kernel else [(1, 0, 2, 3)]
    for axes in turns if few == many else []:  # (3, 3, 3, 3) may be laid out in any way
        values = (values + values.permute(axes[: values.ndim])) / math.sqrt(2)
    return (values if few == shape[0] else values.transpose(0, 1)).contiguous()


def fill(module: nn.Module, matrices: Mapping[Shape, Shape] | None = None, *, share: bool = False) -> None:
    """Give a module its weights, and batch norms new statistics. `matrices`: which are kernels, see `unfolded`. `share`
    saves memory, where nobody asks which weight was used."""
    for parameter in module.parameters():
        if parameter.is_floating_point() and not parameter.is_meta and parameter.numel():
            values = _laid_out(tuple(parameter.shape), matrices or {})
            parameter.data = values if share else torch.empty(parameter.shape, dtype=parameter.dtype).copy_(values)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()


def _laid_out(shape: Shape, matrices: Mapping[Shape, Shape]) -> Tensor:
    if shape in matrices:
        matrix = _values(matrices[shape]).flatten(1)
        return matrix if matrix.shape == shape else matrix.T
    last = _kernel_last(shape)
    return _values(shape) if last == shape else _values(last).permute(2, 3, 0, 1)


def gist(gradients: Sequence[Tensor], shapes: Sequence[Shape]) -> dict[Shape, Tensor]:
    """What can be compared of the gradients of weights in any order and layout, by their shape."""
    found: dict[Shape, Tensor] = {}
    for gradient, key in zip(gradients, map(shape_of, shapes), strict=True):
        sums = torch.stack([gradient.sum(), gradient.square().sum()])
        found[key] = found[key] + sums if key in found else sums
    return found
