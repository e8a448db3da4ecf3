"""What was measured, for the texts to quote: counts, shapes, layers, signs."""

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from resnet_lib.teaching.checks.engine import describe
from resnet_lib.teaching.checks.observe import Seen, Trace, fill, weightless

KINDS = {"convolutions": "conv", "batch norms": "batch_norm", "ReLUs": "^relu|^clamp", "max-pools": "max_pool"}


def facts_of(seen: Seen, reference: Callable[..., nn.Module], net: bool) -> dict[str, object]:
    """What was measured in one case, for the texts to quote."""
    with weightless() if net else nullcontext():
        right = reference(*seen.case.args).train()
    parameters = list(right.parameters())
    facts: dict[str, object] = {"case": describe(seen.case.args), **counts_of(seen.parameters, parameters)}
    if net:
        return facts
    fill(parameters)
    x = seen.case.input(1)
    with torch.no_grad(), Trace(parameters) as trace:
        wanted = right(x.clone())
    mine, theirs = layers_in(seen.calls), layers_in(trace.calls)
    for name, counts in (("given_layers", mine), ("wanted_layers", theirs)):
        facts[name] = ", ".join(f"{counts[kind]} {kind}" for kind in KINDS if mine[kind] or theirs[kind])
    if seen.outputs:
        given = seen.outputs[0]
        facts |= {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
        for name, output in (("yours", given), ("right", wanted)):
            if output.shape == wanted.shape:
                facts[f"negative_{name}"] = f"{(output < 0).float().mean().item():.0%}"
            if output.shape == x.shape:
                facts[f"below_{name}"] = f"{(output < x).float().mean().item():.0%}"
    return facts


def layers_in(calls: Counter[str]) -> Counter[str]:
    return Counter({kind: sum(n for name, n in calls.items() if re.search(KINDS[kind], name)) for kind in KINDS})


def counts_of(mine: Sequence[Tensor], wanted: Sequence[Tensor]) -> dict[str, object]:
    shapes, right_shapes = (Counter(tuple(p.squeeze().shape) or (1,) for p in weights) for weights in (mine, wanted))
    given, right = (sum(math.prod(shape) * n for shape, n in some.items()) for some in (shapes, right_shapes))
    extra, missing = (
        ", ".join(f"{n} × {shape}" for shape, n in sorted((a - b).items())[:4]) or "none"
        for a, b in ((shapes, right_shapes), (right_shapes, shapes))
    )
    facts: dict[str, object] = {"given_count": f"{given:,}", "wanted_count": f"{right:,}"}
    if given != right:
        facts["off"] = f"{abs(given - right):,} {'more' if given > right else 'fewer'}"
    return facts | {"extra": extra, "missing": missing}


def first_that_ran(seen: Sequence[Seen]) -> Seen:
    return next((one for one in seen if one.outputs), seen[0])
