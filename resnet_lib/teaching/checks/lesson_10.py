"""Lesson 10: tools to bring a foreign net into one's own code."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, pad

from resnet_lib.teaching import answers
from resnet_lib.teaching.checking import Exercise, Mistake, noise

# Names of weights


def _checkpoint(*keys: str) -> dict[str, Any]:
    return {"epoch": 7, "state_dict": {f"module.{key}": noise(2, 3, seed=n) for n, key in enumerate(keys)}}


our_keys = Exercise(
    "our_keys(checkpoint)",
    praise="Their weights under our names.",
    right=answers.our_keys,
    cases=[
        (_checkpoint("conv1.weight", "layer1.0.bn1.running_mean", "linear.weight", "linear.bias"),),
        (_checkpoint("bn1.bias", "layer3.2.conv2.weight", "linear.bias"),),
    ],
)


def _renamed(rename: Callable[[str], str]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    return lambda checkpoint: {rename(key): value for key, value in checkpoint["state_dict"].items()}


our_keys.slip(
    "strips-letters",
    '`lstrip("module.")` strips every leading letter that is one of m, o, d, u, l, e: `module.linear` becomes '
    "`inear`, `module.layer1` becomes `ayer1`. `removeprefix` takes the whole word.",
    _renamed(lambda key: key.lstrip("module.").replace("linear.", "fc.")),
    _renamed(lambda key: key.lstrip("module.").replace("inear.", "fc.")),
    _renamed(lambda key: key.lstrip("module.")),
    _renamed(lambda key: key.strip("module.").replace("linear.", "fc.")),
)
our_keys.slip(
    "keeps-classifier",
    "The classifier is still called `linear`. Ours is `fc`.",
    _renamed(lambda key: key.removeprefix("module.")),
)
our_keys.slip(
    "keeps-prefix",
    "The keys still start with `module.`.",
    _renamed(lambda key: key.replace("linear.", "fc.")),
)
our_keys.slip(
    "unchanged",
    "The names are as they were in the file.",
    lambda checkpoint: checkpoint["state_dict"],
)
our_keys.slip(
    "keeps-a-dot",
    "The keys start with a dot: the prefix is `module.`, with its dot.",
    _renamed(lambda key: key.removeprefix("module").replace("linear.", "fc.")),
)
our_keys.slip(
    "cuts-too-much",
    "Parts of the names are lost. Only the prefix `module.` goes, and `linear` becomes `fc`.",
    _renamed(lambda key: key.split(".")[-1]),
    _renamed(lambda key: ".".join(key.split(".")[2:])),
    _renamed(lambda key: key.removeprefix("module.").replace("linear.", "fc")),
)
our_keys.slip(
    "drops-classifier",
    "The classifier's weights are missing. They have a different name in our net, but the same shapes.",
    lambda checkpoint: {
        key.removeprefix("module."): value for key, value in checkpoint["state_dict"].items() if "linear" not in key
    },
)
our_keys.slip(
    "still-wrapped",
    "The weights are inside `state_dict`. Return only the weights.",
    lambda checkpoint: {**checkpoint, "state_dict": answers.our_keys(checkpoint)},
    lambda checkpoint: {"state_dict": answers.our_keys(checkpoint)},
    lambda checkpoint: checkpoint,
)
our_keys.slip(
    "names-alone",
    "These are only the names. A dictionary from name to tensor is wanted.",
    lambda checkpoint: list(answers.our_keys(checkpoint)),
)


# Activations


class TwoWays(nn.Module):
    """A net whose modules run in another order than they were made in, one of them in place."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Conv2d(4, 2, 1)
        self.stage = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True))

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.stage(x))


def _net(make: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return make().eval()


class InOrder(Exercise):
    """The order of a dictionary counts as well, so pairs are compared."""

    def observe(self, learners: Any) -> Any:
        return super().observe(_in_pairs(learners))


def _in_pairs(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def pairs(*args: Any) -> Any:
        given = function(*args)
        return [[name, output] for name, output in given.items()] if isinstance(given, dict) else given

    return pairs


outputs_of = InOrder(
    "outputs_of(net, images)",
    praise="Every module's output, in the order in which they finished, and no hook is left.",
    right=_in_pairs(answers.outputs_of),
    cases=lambda: [
        (_net(TwoWays), noise(2, 3, 5, 5)),
        (_net(lambda: nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.ReLU(), nn.Flatten()))), noise(1, 1, 4, 4)),
    ],
)


def _hooking(
    names: Callable[[nn.Module], Iterator[tuple[str, nn.Module]]] = nn.Module.named_modules,
    keep: Callable[[Any, Any], Any] = lambda args, output: output.clone(),
    empty: bool = False,
    late: bool = False,
) -> Callable[[nn.Module, Tensor], dict[str, Tensor]]:
    def function(net: nn.Module, images: Tensor) -> dict[str, Tensor]:
        outputs: dict[str, Tensor] = {}
        found = [(name, module) for name, module in names(net) if name or empty]
        hooks = [
            module.register_forward_hook(
                lambda _, args, output, name=found[-1][0] if late else name: outputs.update({name: keep(args, output)})
            )
            for name, module in found
        ]
        with torch.no_grad():
            net(images)
        for hook in hooks:
            hook.remove()
        return outputs

    return _in_pairs(function)


def _leaves(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    return ((name, module) for name, module in net.named_modules() if not [*module.children()])


def _in_order_of_names(net: nn.Module, images: Tensor) -> list[Any]:
    outputs = answers.outputs_of(net, images)
    return [[name, outputs[name]] for name, _ in net.named_modules() if name]


outputs_of.slip(
    "one-name-for-all",
    "Every output is stored under one name, the last of the loop: a function made in a loop sees the variable's last "
    "value. Hand the name over as a default argument, name=name.",
    _hooking(late=True),
)
outputs_of.slip(
    "not-cloned",
    "A ReLU that works in place changed an output after you had stored it. Store output.clone().",
    _hooking(keep=lambda args, output: output),
    _hooking(keep=lambda args, output: output.detach()),
)
outputs_of.slip(
    "children-only",
    "Modules inside modules are missing: `named_children` goes one level deep, `named_modules` all the way.",
    _hooking(names=nn.Module.named_children),
)
outputs_of.slip(
    "leaves-only", "Blocks and stages are missing: modules that hold others have outputs too.", _hooking(names=_leaves)
)
outputs_of.slip("with-the-net", "The net itself is in it, under an empty name. Leave it out.", _hooking(empty=True))
outputs_of.slip(
    "inputs",
    "These are the inputs of the modules. A forward hook gets (module, inputs, output).",
    _hooking(keep=lambda args, output: args[0].clone()),
    _hooking(keep=lambda args, output: args),
)
outputs_of.slip(
    "order-of-names",
    "The outputs are in the order in which the modules were made. They should be in the order in which they finished: "
    "fill the dictionary inside the hook.",
    _in_order_of_names,
)
outputs_of.slip(
    "nothing-ran",
    "The dictionary is empty. Does the net run while the hooks are on it?",
    lambda net, images: [],
)
outputs_of.slip(
    "output-alone",
    "That is the net's own output. The outputs of its modules are wanted.",
    lambda net, images: net(images),
)
outputs_of.slip(
    "not-a-dictionary",
    "A dictionary from name to output is wanted.",
    lambda net, images: list(answers.outputs_of(net, images).values()),
)


def _pair(*changes: tuple[str, Callable[[Tensor], Tensor]], scale: float = 1.0, drop: str = "") -> tuple[Any, Any]:
    """Outputs of two nets: the second's are those of the first, rounded otherwise and with some changed."""
    names = ("conv1", "bn1", "layer1.0", "layer1", "fc")
    theirs = {name: scale * noise(30, 40, seed=n) for n, name in enumerate(names)}
    rounded = {name: output + scale * 2e-5 * noise(30, 40, seed=9) for name, output in theirs.items()}
    ours = {name: rounded[name] for name in ("layer1", "fc", "bn1", "conv1", "layer1.0")}
    for name, change in changes:
        ours[name] = change(ours[name].clone())
    ours.pop(drop, None)
    return theirs, ours


def _one_value(factor: float) -> Callable[[Tensor], Tensor]:
    def change(output: Tensor) -> Tensor:
        output.view(-1)[output.abs().argmax()] *= factor
        return output

    return change


first_difference = Exercise(
    "first_difference(theirs, ours)",
    praise="The first name whose outputs differ by more than rounding.",
    right=answers.first_difference,
    cases=[
        _pair(("layer1.0", lambda x: 2 * x), ("layer1", lambda x: 3 * x), ("fc", lambda x: -x)),
        _pair(),
        _pair(("bn1", _one_value(1.02)), ("fc", lambda x: 9 * x)),
        _pair(("conv1", lambda x: x - 0.01), ("fc", lambda x: 9 * x)),
        _pair(("layer1", lambda x: 1.5 * x), scale=1e-5),
        _pair(scale=1e5),
        _pair(("conv1", lambda x: 2 * x), ("fc", lambda x: 2 * x), drop="conv1"),
        _pair(("bn1", lambda x: x[:2]), ("fc", lambda x: 2 * x)),
    ],
)


def _judging(
    differ: Callable[[Tensor, Tensor], Any],
    names: Callable[[Any, Any], Any] = lambda theirs, ours: theirs,
    choose: Callable[[list[str]], Any] = lambda found: found[0] if found else None,
    missing: bool = False,
) -> Callable[[Any, Any], Any]:
    def function(theirs: Any, ours: Any) -> Any:
        found = []
        for name in names(theirs, ours):
            if name not in ours or name not in theirs:
                found += [name] if missing else []
            elif ours[name].shape != theirs[name].shape or differ(theirs[name], ours[name]):
                found.append(name)
        return choose(found)

    return function


def _off(wanted: Tensor, given: Tensor) -> Any:
    return (given - wanted).abs().max() > 1e-3 * wanted.abs().max()


def _farther(limit: float, wanted: Tensor, given: Tensor) -> Any:
    return (given - wanted).abs().max() > limit


first_difference.slip(
    "exact",
    "Rounding counts as a difference. Two correct nets agree only up to rounding: allow 0.1 % of the largest value.",
    _judging(lambda wanted, given: not torch.equal(wanted, given)),
    _judging(lambda wanted, given: (given - wanted).abs().max() > 1e-9 * wanted.abs().max()),
)
first_difference.slip(
    "absolute",
    "The limit is a fixed number. For activations of 10⁻⁵ it finds nothing, for those of 10⁵ it calls rounding a "
    "difference: compare with the size of theirs.",
    *(_judging(partial(_farther, limit)) for limit in (1e-2, 1e-3, 1e-4, 1e-5, 1e-6)),
    _judging(lambda wanted, given: not torch.allclose(wanted, given)),
    _judging(lambda wanted, given: not torch.allclose(wanted, given, rtol=1e-3)),
    _judging(lambda wanted, given: not torch.allclose(wanted, given, atol=1e-3)),
    _judging(lambda wanted, given: not torch.allclose(wanted, given, rtol=1e-3, atol=1e-3)),
)
first_difference.slip(
    "signed",
    "A value that is too small goes unnoticed: the sign of the difference is in the way. Take .abs() first.",
    _judging(lambda wanted, given: (given - wanted).max() > 1e-3 * wanted.abs().max()),
)
first_difference.slip(
    "mean",
    "You compare means. One pixel that is off, as at a padded border, disappears in them: take the largest difference.",
    _judging(lambda wanted, given: (given - wanted).abs().mean() > 1e-3 * wanted.abs().mean()),
    _judging(lambda wanted, given: (given.mean() - wanted.mean()).abs() > 1e-3 * wanted.abs().mean()),
)
first_difference.slip(
    "last", "That is the last name that differs. What comes after the first is only a consequence.",
    _judging(_off, choose=lambda found: found[-1] if found else None),
)  # fmt: skip
first_difference.slip(
    "order-of-ours",
    "You go through the names in the order of `ours`. The order of `theirs` is wanted.",
    _judging(_off, names=lambda theirs, ours: ours),
)
first_difference.slip(
    "alphabetical",
    "You go through the names in alphabetical order.",
    _judging(_off, names=lambda theirs, ours: sorted(theirs)),
)
first_difference.slip(
    "missing-name",
    "A name that only one of the nets has does not count as a difference: skip it.",
    _judging(_off, missing=True),
)
first_difference.slip(
    "all-of-them",
    "All names that differ are returned; only the first is wanted.",
    _judging(_off, choose=lambda found: found),
)
first_difference.slip(
    "a-number",
    "A name is wanted, or None.",
    lambda theirs, ours: list(theirs).index(answers.first_difference(theirs, ours) or "fc"),
    lambda theirs, ours: answers.first_difference(theirs, ours) is not None,
)


# Layers


pad_both_sides = Exercise(
    "pad_both_sides(x, out_channels)",
    praise="Every second pixel, zeros on both sides of the channels.",
    right=answers.pad_both_sides,
    cases=[(noise(2, 4, 6, 6), 8), (noise(1, 2, 7, 4, seed=1), 8), (noise(2, 3, 5, 5, seed=2), 9)],
    gradients=True,
)


def _padded(
    before: Callable[[int], int], shrink: Callable[[Tensor], Tensor] = lambda x: x[:, :, ::2, ::2]
) -> Callable[..., Tensor]:
    def function(x: Tensor, out_channels: int) -> Tensor:
        extra = out_channels - x.shape[1]
        return pad(shrink(x), (0, 0, 0, 0, before(extra), extra - before(extra)))

    return function


pad_both_sides.slip(
    "zeros-after",
    "All zeros come after the channels of x: that is our own option A.",
    _padded(lambda extra: 0),
)
pad_both_sides.slip(
    "zeros-before", "All zeros come before the channels of x. Half belong after them.", _padded(lambda extra: extra)
)
pad_both_sides.slip(
    "no-stride",
    "The image keeps its size. Take every second row and every second column.",
    _padded(lambda extra: extra // 2, lambda x: x),
)
pad_both_sides.slip(
    "one-axis",
    "Only rows or only columns are thinned out.",
    _padded(lambda extra: extra // 2, lambda x: x[:, :, ::2]),
    _padded(lambda extra: extra // 2, lambda x: x[:, :, :, ::2]),
)
pad_both_sides.slip(
    "other-pixels",
    "You begin with the second pixel. Begin with the first.",
    _padded(lambda extra: extra // 2, lambda x: x[:, :, 1::2, 1::2]),
)
pad_both_sides.slip(
    "averages",
    "You average over four pixels. Option A takes every second pixel as it is.",
    _padded(lambda extra: extra // 2, lambda x: avg_pool2d(x, 2)),
    _padded(lambda extra: extra // 2, lambda x: avg_pool2d(x, 2, ceil_mode=True)),
)
pad_both_sides.slip(
    "pads-pixels",
    "The zeros are around the image. `pad` takes the last axis first: width, height, then channels.",
    lambda x, out_channels: pad(x[:, :, ::2, ::2], ((out_channels - x.shape[1]) // 2,) * 2),
    lambda x, out_channels: pad(x[:, :, ::2, ::2], (0, 0, *((out_channels - x.shape[1]) // 2,) * 2)),
)
pad_both_sides.slip(
    "all-on-each-side",
    "There are too many channels: all the missing ones are added on either side. Half of them belong on each.",
    lambda x, out_channels: pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *(out_channels - x.shape[1],) * 2)),
)
pad_both_sides.slip(
    "doubles",
    "The channels always double. `out_channels` says how many are wanted.",
    lambda x, out_channels: pad(x[:, :, ::2, ::2], (0, 0, 0, 0, x.shape[1] // 2, x.shape[1] - x.shape[1] // 2)),
    lambda x, out_channels: pad(x[:, :, ::2, ::2], (0, 0, 0, 0, x.shape[1] // 2, x.shape[1] // 2)),
)
pad_both_sides.slip(
    "quarter-of-out",
    "A quarter of out_channels on each side fits where the channels double, and nowhere else.",
    lambda x, out_channels: pad(x[:, :, ::2, ::2], (0, 0, 0, 0, out_channels // 4, out_channels // 4)),
)

torch_kernel = Exercise(
    "torch_kernel(kernel)",
    praise="(height, width, in, out) became (out, in, height, width).",
    right=answers.torch_kernel,
    cases=[(noise(3, 3, 4, 4),), (noise(3, 2, 5, 4, seed=1),), (noise(1, 1, 2, 3, seed=2),)],
)
torch_kernel.slip(
    "in-and-out-swapped",
    "In and out are exchanged: torch wants (out, in, height, width). With as many channels in as out this would load.",
    lambda kernel: kernel.permute(2, 3, 0, 1),
)
torch_kernel.slip(
    "height-and-width-swapped",
    "Height and width are exchanged: every kernel lies on its side.",
    lambda kernel: kernel.permute(3, 2, 1, 0),
)
torch_kernel.slip(
    "both-swapped",
    "Both pairs are exchanged: in with out, height with width.",
    lambda kernel: kernel.permute(2, 3, 1, 0),
)
torch_kernel.slip(
    "reshaped",
    "The shape is right, but the values are not in their places: a reshape reads them in the old order. Use permute.",
    lambda kernel: kernel.reshape(kernel.shape[3], kernel.shape[2], *kernel.shape[:2]),
)
torch_kernel.slip("unchanged", "The axes are still in Keras's order.", lambda kernel: kernel)
torch_kernel.slip(
    "out-first-only",
    "Only out moved to the front. In comes second.",
    lambda kernel: kernel.permute(3, 0, 1, 2),
    lambda kernel: kernel.movedim(-1, 0),
)

folded_mean = Exercise(
    "folded_mean(running_mean, bias)",
    praise="The norm now takes away what the bias no longer adds.",
    right=answers.folded_mean,
    cases=[(noise(4), noise(4, seed=1)), (noise(3, seed=2), noise(3, seed=3))],
)
folded_mean.slip(
    "adds",
    "The norm subtracts its mean. With mean + bias it would subtract a bias that was never added: try it with numbers, "
    "(y + 2) − 5 = y − 3.",
    lambda mean, bias: mean + bias,
)
folded_mean.slip("wrong-way-round", "The sign is wrong: bias − mean.", lambda mean, bias: bias - mean)
folded_mean.slip("mean-alone", "The mean is unchanged, so the bias is lost.", lambda mean, bias: mean)
folded_mean.slip("bias-alone", "The mean itself is lost.", lambda mean, bias: bias, lambda mean, bias: -bias)
folded_mean.slip("multiplies", "A bias is added to the output, so it shifts the mean.", lambda mean, bias: mean * bias)


# Statistics


def _two_norms() -> nn.Module:
    """Two batch norms with old statistics, one inside another module."""
    inner = nn.Sequential(nn.BatchNorm2d(3, momentum=0.3))
    net = nn.Sequential(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.ReLU(), inner)
    for norm in _norms(net):
        for buffer, old in zip(norm.buffers(), (5, 9, 7), strict=True):  # mean, variance, batches seen
            buffer.fill_(old)
    return net


def _recomputing(
    reset: bool = True,
    momentum: float | None = None,
    train: bool = True,
    restore: bool = True,
    evaluate: bool = True,
    first: int = 99,
    top_level: bool = False,
    weights: float = 1.0,
) -> Callable[[Any, Any], None]:
    """`answers.recompute_statistics` with something else done; momentum 0 leaves that of the norms."""

    def function(net: Any, batches: Any) -> None:
        modules = net.children() if top_level else net.modules()
        norms = [module for module in modules if isinstance(module, nn.BatchNorm2d)]
        momenta = [norm.momentum for norm in norms]
        for norm in norms:
            if reset:
                norm.reset_running_stats()
            if momentum != 0:
                norm.momentum = momentum
        net.train(train)
        with torch.no_grad():
            for batch in list(batches)[:first]:
                net(batch)
            net[0].weight.mul_(weights)
        for norm, old in zip(norms, momenta, strict=True):
            norm.momentum = old if restore else norm.momentum
        if evaluate:
            net.eval()

    return function


# Other ways to fill the statistics, by the key of the mistake.
WAYS: dict[str, list[Callable[[Any, Any], None]]] = {
    "in-eval-mode": [_recomputing(train=False)],
    "old-ones-count": [_recomputing(reset=False), _recomputing(reset=False, momentum=0)],
    "not-the-mean": [_recomputing(momentum=m) for m in (0, 1.0, 0.1, 0.5)],
    "first-batch-only": [_recomputing(first=1)],
    "top-level-only": [_recomputing(top_level=True)],
    "nothing-changed": [lambda net, batches: net.eval() and None, _recomputing(train=False, reset=False)],
}


def _norms(net: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]


def _same_statistics(one: nn.Module, two: nn.Module) -> bool:
    pairs = zip(_norms(one), _norms(two), strict=True)
    return all(
        torch.allclose(mine.double(), right.double(), rtol=1e-4, atol=1e-5)
        for a, b in pairs
        for mine, right in zip(list(a.buffers())[:2], list(b.buffers())[:2], strict=True)
    )


def _problem(returned: Any, before: Sequence[Any], after: Sequence[Any]) -> Mistake | None:
    net, batches = before

    def does(way: Callable[[Any, Any], None]) -> bool:
        other = deepcopy(net)
        way(other, batches)
        return _same_statistics(other, after[0])

    if not does(answers.recompute_statistics):
        return Mistake(next((key for key, ways in WAYS.items() if any(map(does, ways))), "other-statistics"))
    if any(module.training for module in after[0].modules()):
        return Mistake("stays-in-train")
    if [norm.momentum for norm in _norms(after[0])] != [norm.momentum for norm in _norms(net)]:
        return Mistake("momentum-changed")
    if not all(map(torch.equal, after[0].parameters(), net.parameters())):
        return Mistake("weights-moved")
    return None


recompute_statistics = Exercise(
    "recompute_statistics(net, batches)",
    praise="Every norm has the mean over all batches; weights and momentum are as before, the net is in eval mode.",
    right=answers.recompute_statistics,
    cases=lambda: [
        (_net(_two_norms), [noise(4, 2, 3, 3) + 1, noise(4, 2, 3, 3, seed=1) - 2, noise(2, 2, 3, 3, seed=2)]),
        (_net(_two_norms).train(), [3 * noise(4, 2, 3, 3, seed=3), noise(4, 2, 3, 3, seed=4)]),
    ],
    problem=_problem,
)
recompute_statistics.slip(
    "stays-in-train", "The net is left in train mode. End with net.eval().", _recomputing(evaluate=False)
)
recompute_statistics.slip(
    "momentum-changed",
    "The norms' momentum is not what it was. Keep it before you set it to None, and put it back.",
    _recomputing(restore=False),
)
recompute_statistics.slip(
    "weights-moved",
    "The weights have changed. Statistics need no gradient and no optimiser.",
    _recomputing(weights=0.9),
)
recompute_statistics.slip(
    "in-eval-mode",
    "In eval mode a batch norm uses its statistics and does not update them.",
    *WAYS["in-eval-mode"],
)
recompute_statistics.slip(
    "old-ones-count",
    "The old statistics still count. Reset them first: norm.reset_running_stats().",
    *WAYS["old-ones-count"],
)
recompute_statistics.slip(
    "not-the-mean",
    "The batches do not count equally: with momentum 0.1 the start counts most, with 1.0 only the last batch does. "
    "momentum = None takes the plain mean.",
    *WAYS["not-the-mean"],
)
recompute_statistics.slip("first-batch-only", "Only the first batch counts.", *WAYS["first-batch-only"])
recompute_statistics.slip(
    "top-level-only",
    "Batch norms inside other modules keep their old statistics: go through net.modules().",
    *WAYS["top-level-only"],
)
recompute_statistics.slip("nothing-changed", "The statistics are as before.", *WAYS["nothing-changed"])
recompute_statistics.slip(
    "other-statistics",
    "The statistics are not the mean over the batches.",
    _recomputing(momentum=0.7),
)
