"""The same weights for the learner's module and the library's, whatever their names, order and layout.

Weights of one shape all get the same values, and a kernel is the same from channel i to j as from j to i. So nothing
has to be matched: two modules of one architecture compute the same. (What uses one weight twice and another never
leaves that one idle, which the trace sees.)
"""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache

import torch
from torch import Tensor, nn

from resnet_lib.teaching.checking.values import noise

Shape = tuple[int, ...]


@cache
def shape_of(shape: Shape) -> Shape:
    """The shape that counts: a 1×1 convolution may be written as a matrix from the left or the right, a larger one as a
    matrix for `unfold`, or with the axes of its kernel in front."""
    first, *others = [size for size in _kernel_last(shape) if size != 1] or [1]
    return tuple(sorted((first, math.prod(others)))) if others else (first,)


def _kernel_last(shape: Shape) -> Shape:
    """(in, out, k, k) for a kernel of shape (k, k, in, out)."""
    ahead, behind = (two in ((1, 1), (3, 3), (5, 5), (7, 7)) for two in (shape[:2], shape[2:]))
    return shape[2:] + shape[:2] if ahead and not behind and len(shape) == 4 else shape


def shapes_of(shapes: Iterable[Shape]) -> Counter[Shape]:
    return Counter(map(shape_of, shapes))


@cache
def _values(shape: Shape) -> Tensor:
    """Random weights that let no mistake hide: gammas and betas of both signs, some small, some large."""
    if len(shape_of(shape)) < 2:
        values = noise(math.prod(shape), seed=11)
        return (values.sign() * (0.3 + 0.3 * values.abs().clamp(max=1)) * (1 + 6 * (values.abs() > 1.2))).view(shape)
    (few, many), kernel = sorted(shape[:2]), shape[2:]
    values = noise(few, many, *kernel, seed=few + many) * math.sqrt(1.5 / math.prod(kernel) / math.sqrt(few * many))
    if few == many:
        values = (values + values.transpose(0, 1)) / math.sqrt(2)
    return (values if few == shape[0] else values.transpose(0, 1)).contiguous()


def fill(module: nn.Module, like: Mapping[Shape, Shape] | None = None, *, share: bool = False) -> None:
    """Give a module its weights, and batch norms new statistics. `like`: shapes of the reference's weights, by what
    counts of them. `share` saves memory, where nobody asks which weight was used."""
    for parameter in module.parameters():
        if parameter.is_floating_point() and not parameter.is_meta and parameter.numel():
            values = _laid_out(tuple(parameter.shape), like or {})
            parameter.data = values if share else torch.empty(parameter.shape, dtype=parameter.dtype).copy_(values)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.reset_running_stats()


def _laid_out(shape: Shape, like: Mapping[Shape, Shape]) -> Tensor:
    wanted = like.get(shape_of(shape), ())
    if len(shape) == 2 and len(wanted) == 4:
        matrix = _values(wanted).flatten(1)
        return matrix if matrix.shape == shape else matrix.T
    last = _kernel_last(shape)
    return _values(shape) if last == shape else _values(last).permute(2, 3, 0, 1)


def gist(gradients: Sequence[Tensor]) -> dict[Shape, Tensor]:
    """What can be compared of the gradients of weights in any order and layout, by their shape."""
    found: dict[Shape, Tensor] = {}
    for gradient in gradients:
        sums = torch.stack([gradient.sum(), gradient.square().sum()])
        key = shape_of(tuple(gradient.shape))
        found[key] = found[key] + sums if key in found else sums
    return found
