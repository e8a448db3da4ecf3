"""Lesson 10: tools to bring a foreign net into one's own code."""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d, pad

from resnet_lib.teaching import answers
from resnet_lib.teaching.checking import Exercise, noise


def checkpoint_of(*keys: str) -> dict[str, Any]:
    return {"epoch": 7, "state_dict": {f"module.{key}": noise(2, 3, seed=n) for n, key in enumerate(keys)}}


def renamed(rename: Callable[[str], str]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda checkpoint: {rename(key): value for key, value in checkpoint["state_dict"].items()}


# fmt: off
our_keys = Exercise(
    "our_keys(checkpoint)",
    praise="their weights under our names.",
    right=answers.our_keys,
    cases=[(checkpoint_of("conv1.weight", "layer1.0.bn1.running_mean", "linear.weight", "linear.bias"),),
           (checkpoint_of("bn1.bias", "layer3.2.conv2.weight", "linear.bias"),)],
    traps=[(checkpoint_of("layer1.0.module.weight"),)],
)
our_keys.slip("strips-letters", "`lstrip(\"module.\")` strips every leading m, o, d, u, l and e. `removeprefix` takes "
    "the whole word.",
    renamed(lambda key: key.lstrip("module.").replace("linear.", "fc.")), renamed(lambda key: key.lstrip("module.")),
    renamed(lambda key: key.lstrip("module.").replace("inear.", "fc.")),
    renamed(lambda key: key.strip("module.").replace("linear.", "fc.")))
our_keys.slip("unchanged", "The names are as in the file. `replace` and `removeprefix` return a new string: use it.",
    lambda checkpoint: checkpoint["state_dict"])
our_keys.slip("still-wrapped", "The weights are inside `state_dict`. Return only the weights.",
    lambda checkpoint: {**checkpoint, "state_dict": answers.our_keys(checkpoint)},
    lambda checkpoint: {"state_dict": answers.our_keys(checkpoint)}, lambda checkpoint: checkpoint)


class TwoWays(nn.Module):
    """A net whose modules run in another order than they were made in, one of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(4, 2, 1)
        self.stage = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.stage(x))


def nets() -> list[Sequence[Any]]:
    torch.manual_seed(0)
    small = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.Flatten()))
    return [(TwoWays().eval(), noise(2, 3, 5, 5)), (small, noise(1, 1, 4, 4))]


def in_order(returned: Any, args: Sequence[Any]) -> dict[str, Any]:
    """The order of a dictionary counts here."""
    return {"outputs": returned, "order-of-names": list(returned) if isinstance(returned, dict) else None}


def hooked(keep: Callable[[Any, Tensor], Any], late: bool = False) -> Callable[[nn.Module, Tensor], dict[str, Any]]:
    """Outputs as another hook keeps them: a function of its (inputs, output). `late`: all under the last name."""

    def function(net: nn.Module, images: Tensor) -> dict[str, Any]:
        found: dict[str, Any] = {}
        *_, last = (name for name, _ in net.named_modules())
        hooks = [module.register_forward_hook(lambda _, args, output, name=last if late else name:
                 found.update({name: keep(args, output)})) for name, module in net.named_modules() if name]
        net(images)
        for hook in hooks:
            hook.remove()
        return found

    return function


def in_order_of_names(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
    outputs = answers.outputs_of(net, images)
    return {name: outputs[name] for name, _ in net.named_modules() if name}


outputs_of = Exercise(
    "outputs_of(net, images)",
    praise="every module's output, in the order in which they finished, and no hook is left.",
    right=answers.outputs_of,
    cases=nets,
    view=in_order,
)
outputs_of.slip("one-name-for-all", "Every output is stored under the last name of the loop. Hand the name over as a "
    "default argument, name=name.",
    hooked(lambda args, output: output.clone(), late=True))
outputs_of.slip("not-cloned", "A ReLU that works in place changed an output after you had stored it. Store "
    "output.clone().",
    hooked(lambda args, output: output))
outputs_of.slip("inputs", "These are the inputs of the modules. A forward hook gets (module, inputs, output).",
    hooked(lambda args, output: args[0].clone()), hooked(lambda args, output: args))
outputs_of.slip("nothing-ran", "The dictionary is empty. Does the net run while the hooks are on it?",
    lambda net, images: {})
outputs_of.slip("order-of-names", "The outputs are in the order in which the modules were made, not in which they "
    "finished.",
    in_order_of_names)


def pair(*changes: tuple[str, Callable[[Tensor], Tensor]], scale: float = 1, shift: float = 0, drop: str = "") -> Any:
    """Outputs of two nets: the second's are those of the first, rounded otherwise and with some changed."""
    names = ("conv1", "bn1", "layer1.0", "layer1", "fc")
    theirs = {name: scale * noise(30, 40, seed=n) + shift for n, name in enumerate(names)}
    rounded = {name: output + scale * 2e-5 * noise(30, 40, seed=9) for name, output in theirs.items()}
    ours = {name: rounded[name] for name in ("layer1", "fc", "bn1", "conv1", "layer1.0")}
    for name, change in changes:
        ours[name] = change(ours[name].clone())
    ours.pop(drop, None)
    return theirs, ours


def one_value(output: Tensor) -> Tensor:
    output.view(-1)[output.abs().argmax()] *= 1.02
    return output


def farther(share: float, limit: float, wanted: Tensor, given: Tensor) -> Any:
    return (given - wanted).abs().max() > share * wanted.abs().max() + limit


def unlike(rtol: float, atol: float, wanted: Tensor, given: Tensor) -> bool:
    return not torch.allclose(given, wanted, rtol=rtol, atol=atol)


def off(wanted: Tensor, given: Tensor) -> Any:
    return farther(1e-3, 0, wanted, given)


def judging(
    differ: Callable[[Tensor, Tensor], Any] = off,
    names: Callable[[Any, Any], Any] = lambda theirs, ours: theirs,
    choose: Callable[[list[str]], Any] = lambda found: found[0] if found else None,
    missing: bool = False,
    shapes: bool = True,
) -> Callable[[Any, Any], Any]:
    def function(theirs: Any, ours: Any) -> Any:
        found = []
        for name in names(theirs, ours):
            if name not in ours or name not in theirs:
                found += [name] if missing else []
            elif shapes if ours[name].shape != theirs[name].shape else differ(theirs[name], ours[name]):
                found.append(name)
        return choose(found)

    return function


first_difference = Exercise(
    "first_difference(theirs, ours)",
    praise="the first name whose outputs differ by more than rounding.",
    right=answers.first_difference,
    cases=[
        pair(("layer1.0", lambda x: 2 * x), ("layer1", lambda x: 3 * x), ("fc", lambda x: -x)),
        pair(),
        pair(("bn1", one_value), ("fc", lambda x: 9 * x)),
        pair(("conv1", lambda x: x - 0.01), ("fc", lambda x: 9 * x)),
        pair(("bn1", lambda x: x - 5), ("fc", lambda x: 9 * x)),
        pair(("bn1", lambda x: x + 5), ("fc", lambda x: 9 * x)),
        pair(("layer1", lambda x: 1.5 * x), scale=1e-5),
        pair(scale=1e5),
        pair(("layer1.0", one_value), shift=-9),
        pair(("conv1", lambda x: 2 * x), ("fc", lambda x: 2 * x), drop="conv1"),
        pair(("bn1", lambda x: x[:2]), ("fc", lambda x: 2 * x)),
    ],
)
first_difference.slip("exact", "Rounding counts as a difference. Allow 0.1 % of the largest value.",
    judging(lambda wanted, given: not torch.equal(wanted, given)), judging(partial(farther, 1e-9, 0)))
first_difference.slip("absolute", "The limit is not a share of their largest value, so small activations never differ, "
    "or large ones always do.",
    *[judging(partial(farther, 0, limit)) for limit in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)],
    *[judging(partial(unlike, rtol, atol)) for rtol in (1e-5, 1e-3) for atol in (1e-8, 1e-3)])
first_difference.slip("too-wide", "The limit is too wide: 0.1 % is 0.001.",
    judging(partial(farther, 0.1, 0)), judging(partial(farther, 0.01, 0)))
first_difference.slip("signed", "A sign is in the way. Take .abs() of the difference, and of theirs, before .max().",
    judging(lambda wanted, given: (given - wanted).max() > 1e-3 * wanted.abs().max()),
    judging(lambda wanted, given: (wanted - given).max() > 1e-3 * wanted.abs().max()),
    judging(lambda wanted, given: (given - wanted).abs().max() > 1e-3 * wanted.max()))
first_difference.slip("mean", "You compare means, in which one wrong pixel disappears. Take the largest difference.",
    judging(lambda wanted, given: (given - wanted).abs().mean() > 1e-3 * wanted.abs().mean()),
    judging(lambda wanted, given: (given - wanted).abs().mean() > 1e-3 * wanted.abs().max()),
    judging(lambda wanted, given: (given.mean() - wanted.mean()).abs() > 1e-3 * wanted.abs().mean()))
first_difference.slip("last", "That is the last name that differs. The first is wanted: the others may follow from it.",
    judging(choose=lambda found: found[-1] if found else None))
first_difference.slip("order-of-ours", "You go through the names in the order of `ours`. Take that of `theirs`.",
    judging(names=lambda theirs, ours: ours))
first_difference.slip("missing-name", "A name that only one of the nets has is no difference: skip it.",
    judging(missing=True))
first_difference.slip("first-name-only", "Only one name is looked at. Return in the loop only where outputs differ.",
    lambda theirs, ours: judging()(dict([*theirs.items()][:1]), ours),
    lambda theirs, ours: judging()({name: theirs[name] for name in [n for n in theirs if n in ours][:1]}, ours))
first_difference.slip("other-shapes", "Outputs of unequal shape differ, too.",
    judging(shapes=False))
first_difference.slip("all-of-them", "All names that differ are returned; only the first is wanted.",
    judging(choose=lambda found: found))


def thinned(x: Tensor) -> Tensor:
    return x[:, :, ::2, ::2]


def padded(before: Callable[[int], int], shrink: Callable[[Tensor], Tensor] = thinned) -> Callable[..., Tensor]:
    def function(x: Tensor, out_channels: int) -> Tensor:
        extra = out_channels - x.shape[1]
        return pad(shrink(x), (0, 0, 0, 0, before(extra), extra - before(extra)))

    return function


def half(extra: int) -> int:
    return extra // 2


def sides(count: Callable[[int, int], int], axes: int = 2) -> Callable[..., Tensor]:
    """So many zeros of (channels of x, out_channels) on both sides, behind so many axes that get none."""
    return lambda x, out: pad(thinned(x), (0, 0) * axes + (count(x.shape[1], out),) * 2)


pad_both_sides = Exercise(
    "pad_both_sides(x, out_channels)",
    praise="every second pixel, zeros on both sides of the channels.",
    right=answers.pad_both_sides,
    cases=[(noise(2, 4, 6, 6), 8), (noise(1, 2, 7, 4, seed=1), 8), (noise(2, 3, 5, 5, seed=2), 9)],
    gradients=True,
)
pad_both_sides.slip("one-side-only", "All zeros are on one side of the channels of x. Half belong before, half after.",
    padded(lambda extra: 0), padded(lambda extra: extra))
pad_both_sides.slip("not-thinned", "Rows or columns are all there. Take every second row and every second column.",
    padded(half, lambda x: x), padded(half, lambda x: x[:, :, ::2]), padded(half, lambda x: x[:, :, :, ::2]))
pad_both_sides.slip("not-zero", "The new channels are not zero.",
    lambda x, out: padded(half)(x - 1, out) + 1)
pad_both_sides.slip("other-pixels", "You begin with the second pixel. Begin with the first.",
    padded(half, lambda x: x[:, :, 1::2, 1::2]))
pad_both_sides.slip("pools", "You pool over four pixels. Take every second pixel as it is.",
    *[padded(half, partial(pool, kernel_size=2, ceil_mode=up))
      for pool in (avg_pool2d, max_pool2d) for up in (False, True)])
pad_both_sides.slip("pads-pixels", "The zeros are on the wrong axis. `pad` takes pairs: width, height, then channels.",
    *[sides(lambda c, out: (out - c) // 2, axes) for axes in (0, 1, 3)])
pad_both_sides.slip("too-many", "There are too many channels. Half of the missing ones belong on each side.",
    sides(lambda c, out: out - c), sides(lambda c, out: out - c // 2))
pad_both_sides.slip("doubles", "That is right where the channels double. `out_channels` says how many are wanted.",
    sides(lambda c, out: c // 2), sides(lambda c, out: out // 4))

torch_kernel = Exercise(
    "torch_kernel(kernel)",
    praise="(height, width, in, out) became (out, in, height, width).",
    axes=("out_channels", "in_channels", "height", "width"),
    right=answers.torch_kernel,
    cases=[(noise(3, 3, 4, 4),), (noise(3, 2, 5, 4, seed=1),), (noise(1, 1, 2, 3, seed=2),)],
)
torch_kernel.slip("reshaped", "A reshape leaves the values in the old order and names them otherwise. Use permute.",
    lambda kernel: kernel.reshape(kernel.shape[3], kernel.shape[2], *kernel.shape[:2]),
    lambda kernel: kernel.reshape(kernel.shape[::-1]))

folded_mean = Exercise(
    "folded_mean(running_mean, bias)",
    praise="the norm now takes away what the bias no longer adds.",
    right=answers.folded_mean,
    cases=[(noise(4), noise(4, seed=1)), (noise(3, seed=2), noise(3, seed=3))],
)
folded_mean.slip("adds", "The norm subtracts its mean: mean + bias would take away a bias that nobody added.",
    lambda mean, bias: mean + bias)
folded_mean.slip("one-alone", "Only one of the two is there. The new mean is made of the old one and the bias.",
    lambda mean, bias: mean, lambda mean, bias: bias, lambda mean, bias: -bias)


def two_norms() -> list[Sequence[Any]]:
    """Nets of two batch norms with old statistics, one inside another module."""
    torch.manual_seed(0)
    inner = nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3, momentum=0.3))
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), inner)
    for norm in norms_in(net):
        for values, old in zip((*norm.parameters(), *norm.buffers()), (2, 1, 5, 9, 7), strict=True):
            nn.init.constant_(values, old)  # γ, β, mean, variance, batches seen
    first = [noise(4, 2, 3, 3) + 1, noise(4, 2, 3, 3, seed=1) - 2, noise(2, 2, 3, 3, seed=2)]
    return [(net, first), (deepcopy(net).eval(), [3 * noise(4, 2, 3, 3, seed=3), noise(4, 2, 3, 3, seed=4)])]


def norms_in(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def state_of(net: nn.Module) -> dict[str, Any]:
    """What counts afterwards."""
    return {
        "a weight": [parameter.detach() for parameter in net.parameters()],
        "a running mean": [norm.running_mean for norm in norms_in(net)],
        "a running variance": [norm.running_var for norm in norms_in(net)],
        "the norms' momentum": [norm.momentum for norm in norms_in(net)],
        "the mode": [module.training for module in net.modules()],
    }


def recomputing(reset: bool = True, momentum: float | None = None, train: bool = True, restore: bool = True,
                evaluate: bool = True, some: slice = slice(None), norms: Callable = norms_in) -> Callable[..., None]:
    """`answers.recompute_statistics` with something else done; momentum 0 leaves that of the norms."""

    def function(net: Any, batches: Any) -> None:
        momenta = [norm.momentum for norm in norms(net)]
        for norm in norms(net):
            if reset:
                norm.reset_running_stats()
            norm.momentum = norm.momentum if momentum == 0 else momentum
        net.train(train)
        with torch.no_grad():
            for batch in batches[some]:
                net(batch)
        for norm, old in zip(norms(net), momenta, strict=True):
            norm.momentum = old if restore else norm.momentum
        if evaluate:
            net.eval()

    return function


recompute_statistics = Exercise(
    "recompute_statistics(net, batches)",
    praise="every norm has the mean over all batches; weights and momentum are as before, the net is in eval mode.",
    right=answers.recompute_statistics,
    cases=two_norms,
    changes=state_of,
)
recompute_statistics.slip("stays-in-train", "The net is left in train mode. End with net.eval().",
    recomputing(evaluate=False))
recompute_statistics.slip("momentum-changed", "The norms' momentum is not what it was. Keep it, and put it back.",
    recomputing(restore=False))
recompute_statistics.slip("in-eval-mode", "Nothing moved the statistics: a batch norm updates them in train mode only.",
    recomputing(train=False), recomputing(train=False, reset=False))
recompute_statistics.slip("old-ones-count", "The old statistics still count. Reset them: norm.reset_running_stats().",
    recomputing(reset=False), recomputing(reset=False, momentum=0))
recompute_statistics.slip("not-the-mean", "The batches do not count equally. momentum = None takes the plain mean.",
    *[recomputing(momentum=m) for m in (0, 0.1, 0.5)],
    lambda net, batches: recomputing()(net, [torch.cat(batches)]))
recompute_statistics.slip("one-batch-only", "Only one batch counts.",
    recomputing(some=slice(1)), recomputing(momentum=1.0))
recompute_statistics.slip("top-level-only", "Norms inside other modules keep old statistics: go through net.modules().",
    recomputing(norms=lambda net: [one for one in net if isinstance(one, nn.BatchNorm2d)]))
# fmt: on
