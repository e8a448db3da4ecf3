"""What was measured, for the texts to quote: counts, shapes, layers, signs."""

import math
from collections import Counter
from collections.abc import Sequence

import torch
from torch import nn

from resnet_lib.teaching.checks.engine import describe
from resnet_lib.teaching.checks.observe import Seen, Trace, fill, shape_of

KINDS = {"conv": "convolutions", "norm": "batch norms", "relu": "ReLUs", "pool": "max-pools", "linear": "linear layers"}


def facts_of(seen: Sequence[Seen], right: nn.Module, net: bool) -> dict[str, object]:
    """What was measured in the first case that ran, for the texts to quote."""
    one = first_that_ran(seen)
    parameters = list(right.train().parameters())
    counts = counts_of(*(Counter(map(shape_of, weights)) for weights in (one.parameters, parameters)))
    facts: dict[str, object] = {"case": describe(one.case.args), **counts}
    if net:
        return facts
    fill(parameters)
    x = one.case.input(1)
    with torch.no_grad(), Trace(parameters) as trace:
        wanted = right(x.clone())
    facts["given_layers"], facts["wanted_layers"] = (
        ", ".join(f"{kinds[kind]} {word}" for kind, word in KINDS.items() if kinds[kind] or trace.kinds[kind])
        for kinds in (one.kinds, trace.kinds)
    )
    if one.outputs:
        given = one.outputs[0]
        facts |= {"given_shape": tuple(given.shape), "wanted_shape": tuple(wanted.shape)}
        for name, output in (("yours", given), ("right", wanted)):
            facts[f"negative_{name}"] = f"{(output < 0).float().mean().item():.0%}"
            if output.shape == x.shape:
                facts[f"below_{name}"] = f"{(output < x).float().mean().item():.0%}"
    else:
        facts["given_shape"] = facts["wanted_shape"] = tuple(wanted.shape)
    return facts


def counts_of(mine: Counter, wanted: Counter) -> dict[str, object]:
    given, right = (sum(math.prod(shape) * n for shape, n in shapes.items()) for shapes in (mine, wanted))
    extra, missing = (
        ", ".join(f"{n} × {shape}" for shape, n in sorted((a - b).items())[:4]) or "none"
        for a, b in ((mine, wanted), (wanted, mine))
    )
    off = f"{abs(given - right):,} {'more' if given > right else 'fewer'}" if given != right else "the same number"
    return {"given_count": f"{given:,}", "wanted_count": f"{right:,}", "off": off, "extra": extra, "missing": missing}


def first_that_ran(seen: Sequence[Seen]) -> Seen:
    return next((one for one in seen if one.outputs), seen[0])
