"""Values that learners return: what they are without their wrapping, and whether two are the same."""

from collections.abc import Sequence
from math import isfinite
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from resnet_lib.teaching.checking.words import Mistake

MANY, LONG = 1_000_000, 10_000  # numbers in a tensor and in a list: no answer holds so many


def plain(value: Any) -> Any:
    """Numbers and lists out of what may carry them: arrays, small tensors, ranges."""
    if isinstance(value, (np.ndarray, np.generic)) or (isinstance(value, Tensor) and value.ndim <= 1):
        return value.tolist()
    if isinstance(value, (list, tuple, range)):
        return [plain(item) for item in value[:LONG]]
    return value


def same(given: Any, wanted: Any, relative: float = 1e-4, strict: bool = True) -> bool:
    """Equal up to rounding. Where an int is wanted, a float is not one if it is strict; only a bool is a bool."""
    if isinstance(wanted, Tensor):
        return isinstance(given, Tensor) and close(given, wanted, relative)
    given = given if isinstance(given, (list, tuple, range)) else plain(given)
    if isinstance(wanted, (list, tuple)):
        if not isinstance(given, (list, tuple, range)) or len(given) != len(wanted):
            return False
        return all(same(*pair, relative, strict) for pair in zip(given, wanted, strict=True))
    if isinstance(wanted, dict):
        matching = isinstance(given, dict) and given.keys() == wanted.keys()
        return matching and all(same(given[key], wanted[key], relative, strict) for key in wanted)
    if isinstance(wanted, bool) or not isinstance(wanted, Real):
        return type(given) is type(wanted) and bool(given == wanted)
    if strict and isinstance(wanted, Integral):
        return isinstance(given, Integral) and not isinstance(given, bool) and int(given) == int(wanted)
    number = isinstance(given, Real) and not isinstance(given, bool)
    return number and abs(float(given) - float(wanted)) <= relative * abs(float(wanted)) + 1e-7


def close(given: Tensor, wanted: Tensor, relative: float = 1e-4) -> bool:
    """The same shape, and no value farther off than rounding."""
    if given.shape != wanted.shape:
        return False
    off = given.detach() * 1 - wanted.detach() * 1  # times 1, since truth values cannot be subtracted
    return not given.numel() or bool((off.abs() <= tolerance(wanted, relative)).all())


def tolerance(wanted: Tensor, relative: float = 1e-4) -> float:
    return relative * (wanted.detach() * 1).abs().max().item() + 1e-6


def honest(value: Any) -> Any:
    """A tensor that can be calculated with, as a plain one."""
    if not isinstance(value, Tensor):
        return value
    if value.device.type != "cpu" or value.layout != torch.strided or value.is_complex() or value.numel() > MANY:
        what = f"{value.dtype}, {value.layout}, of shape {tuple(value.shape)}, on {value.device}"
        raise Mistake("odd-tensor", given=what.replace("torch.", ""))
    return value.as_subclass(Tensor)


def finite(value: Any) -> bool:
    """No NaN and no infinity in a tensor, a number or a list of them."""
    value = plain(value)
    if isinstance(value, list):
        return all(map(finite, value))
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    return not isinstance(value, float) or isfinite(value)


def noise(*shape: int, seed: int = 0) -> Tensor:
    """Normal noise that is the same in every run."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), device="cpu")


def gradients_of(output: Tensor, leaves: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The derivatives of a weighted sum; zeros where it does not depend. A Mistake where autograd cannot go back."""
    if not output.requires_grad:
        raise Mistake("no-gradient")
    total = (output * noise(*output.shape, seed=5)).sum()
    try:
        return torch.autograd.grad(total, leaves, allow_unused=True, materialize_grads=True)
    except RuntimeError as error:
        raise Mistake("in-place" if "inplace" in str(error) else "no-gradient") from None
