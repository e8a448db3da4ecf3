"""Answers that are tensors: zero_pad, residual_sum, block_jacobian, without_block, filter_normalised."""

import operator
from functools import reduce

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import pad, relu

import resnet_lib as rl
from answers.bank import right, wrong

# zero_pad(x, out_channels, stride)


@right("zero_pad")
def concatenates(x, out_channels, stride):
    x = x[..., ::stride, ::stride]
    zeros = torch.zeros(x.shape[0], out_channels - x.shape[1], *x.shape[2:])
    return torch.cat([x, zeros], dim=1)


@right("zero_pad")
def fills_a_canvas(x, out_channels, stride):
    small = x[:, :, ::stride, ::stride]
    canvas = x.new_zeros(len(x), out_channels, *small.shape[2:])
    canvas[:, : x.shape[1]] = small
    return canvas


@right("zero_pad")
def by_a_fixed_convolution(x, out_channels, stride):
    return F.conv2d(x, torch.eye(out_channels, x.shape[1])[:, :, None, None], stride=stride)


@right("zero_pad")
def pools_single_pixels(x, out_channels, stride):
    return pad(F.avg_pool2d(x, 1, stride), (0, 0, 0, 0, 0, out_channels - x.shape[1]))


@right("zero_pad")
def picks_by_index(x, out_channels, stride):
    rows, columns = torch.arange(0, x.shape[2], stride), torch.arange(0, x.shape[3], stride)
    x = x.index_select(2, rows).index_select(3, columns)
    return torch.einsum("nchw,co->nohw", x, torch.eye(x.shape[1], out_channels))


right("zero_pad")(lambda x, o, s: rl.ZeroPadShortcut(x.shape[1], o, s)(x))


def channels(x, out_channels, value=0.0):
    """What most of the wrong answers have right: the new channels at the end."""
    return pad(x, (0, 0, 0, 0, 0, out_channels - x.shape[1]), value=value)


wrong("zero_pad", "pads-in-front")(lambda x, o, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, o - x.shape[1], 0)))
wrong("zero_pad", "averages")(lambda x, o, s: channels(F.avg_pool2d(x, s, ceil_mode=True), o))
wrong("zero_pad", "averages")(lambda x, o, s: channels(F.avg_pool2d(x, s), o))
wrong("zero_pad", "averages")(lambda x, o, s: channels(F.adaptive_avg_pool2d(x, [-(-n // s) for n in x.shape[2:]]), o))
wrong("zero_pad", "pools-max")(lambda x, o, s: channels(F.max_pool2d(x, s, ceil_mode=True), o))
wrong("zero_pad", "pools-max")(lambda x, o, s: channels(nn.MaxPool2d(s)(x), o))
wrong("zero_pad", "no-stride")(lambda x, o, s: channels(x, o))
wrong("zero_pad", "no-new-channels")(lambda x, o, s: x[:, :, ::s, ::s])
wrong("zero_pad", "pads-image")(lambda x, o, s: pad(x[:, :, ::s, ::s], (0, o - x.shape[1])))
wrong("zero_pad", "pads-image")(lambda x, o, s: pad(x[:, :, ::s, ::s], (0, 0, 0, o - x.shape[1])))
wrong("zero_pad", "pads-batch")(lambda x, o, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, 0, 0, o - x.shape[1])))
wrong("zero_pad", "pads-all-channels")(lambda x, o, s: pad(x[:, :, ::s, ::s], (0, 0, 0, 0, 0, o)))
wrong("zero_pad", "pads-ones")(lambda x, o, s: channels(x[:, :, ::s, ::s], o, value=1))
wrong("zero_pad", "repeats-channels")(lambda x, o, s: torch.cat([x, x, x], 1)[:, :o, ::s, ::s])
wrong("zero_pad", "cuts-image")(lambda x, o, s: channels(x[:, :, : -(-x.shape[2] // s), : -(-x.shape[3] // s)], o))
wrong("zero_pad", "cuts-image")(lambda x, o, s: channels(x[:, :, :s, :s], o))
wrong("zero_pad", "subsamples-one-axis")(lambda x, o, s: channels(x[:, :, ::s], o))
wrong("zero_pad", "subsamples-one-axis")(lambda x, o, s: channels(x[..., ::s], o))
wrong("zero_pad", "subsamples-channels")(lambda x, o, s: channels(x[:, ::s, ::s], o))
wrong("zero_pad", "starts-late")(lambda x, o, s: channels(x[:, :, s - 1 :: s, s - 1 :: s], o))
wrong("zero_pad", "relu-on-shortcut")(lambda x, o, s: channels(relu(x[:, :, ::s, ::s]), o))
wrong("zero_pad", "no-gradient")(lambda x, o, s: torch.tensor(channels(x[:, :, ::s, ::s], o).detach().numpy()))
wrong("zero_pad", "not-a-tensor")(lambda x, o, s: channels(x[:, :, ::s, ::s], o).detach().numpy())
wrong("zero_pad", "returns-none")(lambda x, o, s: None)
wrong("zero_pad", "returns-callable")(lambda x, o, s: rl.ZeroPadShortcut(x.shape[1], o, s))


@wrong("zero_pad", "pads-both-sides")
def as_akamaster_does(x, out_channels, stride):
    new = out_channels - x.shape[1]
    return pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, new // 2, new - new // 2))


@wrong("zero_pad", "pads-both-sides")
def more_in_front(x, out_channels, stride):
    new = out_channels - x.shape[1]
    return pad(x[:, :, ::stride, ::stride], (0, 0, 0, 0, (new + 1) // 2, new // 2))


@wrong("zero_pad", "nan")
def never_fills_it(x, out_channels, stride):
    x = x[:, :, ::stride, ::stride]
    return torch.cat([x, x.new_full((len(x), out_channels - x.shape[1], *x.shape[2:]), torch.nan)], 1)


@wrong("zero_pad", "changes-input")
def zeroes_in_place(x, out_channels, stride):
    small = channels(x[:, :, ::stride, ::stride], out_channels)
    x.zero_()
    return small


# residual_sum(branch, x)

right("residual_sum")(lambda branch, x: branch(x) + x)
right("residual_sum")(lambda branch, x: torch.add(x, branch(x)))
right("residual_sum")(lambda f, x: sum([x, f(x)]))
right("residual_sum")(lambda f, x: torch.stack([f(x), x]).sum(0))
right("residual_sum")(lambda f, x: reduce(operator.add, (g(x) for g in (f, nn.Identity()))))


@right("residual_sum")
def keeps_a_copy(branch, x):
    identity = x.clone()
    out = branch(x)
    out = out + identity
    return out


wrong("residual_sum", "forgets-plus")(lambda branch, x: branch(x))
wrong("residual_sum", "returns-input")(lambda branch, x: x)
wrong("residual_sum", "subtracts")(lambda branch, x: branch(x) - x)
wrong("residual_sum", "subtracts")(lambda branch, x: x - branch(x))
wrong("residual_sum", "multiplies")(lambda branch, x: x * branch(x))
wrong("residual_sum", "calls-twice")(lambda branch, x: branch(branch(x)) + x)
wrong("residual_sum", "calls-twice")(lambda branch, x: branch(x + branch(x)))
wrong("residual_sum", "calls-twice")(lambda branch, x: branch(x) + x + branch(x))
wrong("residual_sum", "doubles-the-signal")(lambda branch, x: x + x)
wrong("residual_sum", "concatenates")(lambda branch, x: torch.cat([x, branch(x)]))
wrong("residual_sum", "concatenates")(lambda branch, x: torch.cat([branch(x), x], dim=1))
wrong("residual_sum", "relu-too-many")(lambda branch, x: relu(branch(x) + x))
wrong("residual_sum", "relu-too-many")(lambda branch, x: relu(branch(x)) + x)
wrong("residual_sum", "relu-on-shortcut")(lambda branch, x: branch(x) + relu(x))
wrong("residual_sum", "scaled-shortcut")(lambda branch, x: branch(x) + 0.5 * x)
wrong("residual_sum", "scaled-sum")(lambda branch, x: (branch(x) + x) / 2)
wrong("residual_sum", "scaled-sum")(lambda branch, x: torch.stack([x, branch(x)]).mean(0))
wrong("residual_sum", "gradient")(lambda branch, x: branch(x) + x.detach())
wrong("residual_sum", "no-gradient")(lambda branch, x: (branch(x) + x).detach())
wrong("residual_sum", "returns-callable")(lambda branch, x: lambda: branch(x) + x)
wrong("residual_sum", "signature")(lambda x: x)


@wrong("residual_sum", "adds-itself")
def out_plus_out(branch, x):
    out = branch(x)
    out += out.clone()
    return out


@wrong("residual_sum", "adds-itself")
def overwrites_x(branch, x):
    x = branch(x)
    return x + x


@wrong("residual_sum", "changes-input")
def adds_into_x(branch, x):
    x += branch(x)
    return x


@wrong("residual_sum", "in-place")
def adds_into_the_branch(branch, x):
    out = branch(x)
    out += x
    return out


@wrong("residual_sum", "no-gradient")
def without_gradients(branch, x):
    with torch.no_grad():
        return branch(x) + x


# block_jacobian(branch, x)

jacobian = torch.autograd.functional.jacobian
right("block_jacobian")(lambda branch, x: jacobian(lambda u: u + branch(u), x))
right("block_jacobian")(lambda branch, x: torch.eye(len(x)) + jacobian(branch, x))
right("block_jacobian")(lambda branch, x: torch.func.jacrev(lambda u: branch(u) + u)(x))
right("block_jacobian")(lambda branch, x: torch.func.jacfwd(branch)(x) + torch.diag(torch.ones_like(x)))


@right("block_jacobian")
def row_by_row(branch, x):
    x = x.clone().requires_grad_()
    y = x + branch(x)
    return torch.stack([torch.autograd.grad(out, x, retain_graph=True)[0] for out in y])


@right("block_jacobian")
def column_by_column(branch, x):
    columns = [torch.func.jvp(branch, (x,), (e,))[1] + e for e in torch.eye(x.numel())]
    return torch.stack(columns, dim=1)


wrong("block_jacobian", "forgets-identity")(lambda branch, x: jacobian(branch, x))
wrong("block_jacobian", "identity-only")(lambda branch, x: torch.eye(len(x)))
wrong("block_jacobian", "transposed")(lambda branch, x: jacobian(lambda u: u + branch(u), x).T)
wrong("block_jacobian", "adds-one")(lambda branch, x: jacobian(branch, x) + 1)
wrong("block_jacobian", "adds-x")(lambda branch, x: jacobian(branch, x) + x)
wrong("block_jacobian", "adds-x")(lambda branch, x: jacobian(branch, x) + torch.diag(x))
wrong("block_jacobian", "subtracts")(lambda branch, x: jacobian(branch, x) - torch.eye(len(x)))
wrong("block_jacobian", "diagonal-only")(lambda branch, x: jacobian(branch, x).diag() + 1)
wrong("block_jacobian", "not-a-tensor")(lambda branch, x: jacobian(lambda u: u + branch(u), (x,)))
wrong("block_jacobian", "returns-callable")(lambda branch, x: torch.func.jacrev(lambda u: branch(u) + u))
wrong("block_jacobian", "not-the-derivative")(lambda branch, x: x + branch(x))
wrong("block_jacobian", "not-the-derivative")(lambda branch, x: branch(x))


@wrong("block_jacobian", "gradient-of-sum")
def backward_of_the_sum(branch, x):
    x = x.clone().requires_grad_()
    (x + branch(x)).sum().backward()
    return x.grad


@wrong("block_jacobian", "raises")
def backward_of_a_vector(branch, x):
    x.requires_grad_()
    (x + branch(x)).backward()
    return x.grad


@wrong("block_jacobian", "nearly")
def by_differences(branch, x, step=1e-2):
    block = lambda u: u + branch(u)  # noqa: E731
    return torch.stack([(block(x + step * e) - block(x)) / step for e in torch.eye(len(x))], 1)


# without_block(branches, index, x)


@right("without_block")
def leaves_one_out(branches, index, x):
    for number, branch in enumerate(branches):
        if number != index:
            x = x + branch(x)
    return x


@right("without_block")
def continues(branches, index, x):
    for n in range(len(branches)):
        if n == index:
            continue
        x = branches[n](x) + x
    return x


@right("without_block")
def by_recursion(branches, index, x):
    if not branches:
        return x
    first, *rest = branches
    return by_recursion(rest, index - 1, x if index == 0 else x + first(x))


right("without_block")(lambda fs, i, x: reduce(lambda y, f: y + f(y), fs[:i] + fs[i + 1 :], x))


@right("without_block")
def multiplies_by_zero(branches, index, x):
    for n, branch in enumerate(branches):
        x = x + (n != index) * branch(x)
    return x


@right("without_block")
def deletes_from_a_copy(branches, index, x):
    kept = list(branches)
    del kept[index]
    for branch in kept:
        x = torch.add(x, branch(x))
    return x


def run(branches, x):
    for branch in branches:
        x = x + branch(x)
    return x


wrong("without_block", "nothing-deleted")(lambda branches, index, x: run(branches, x))
wrong("without_block", "deletes-the-rest")(lambda branches, index, x: run(branches[:index], x))
wrong("without_block", "deletes-the-first")(lambda branches, index, x: run(branches[index + 1 :], x))
wrong("without_block", "deletes-the-first")(lambda branches, index, x: run(branches[index:][1:], x))
wrong("without_block", "keeps-only-the-block")(lambda branches, index, x: x + branches[index](x))
wrong("without_block", "counts-from-one")(lambda branches, index, x: by_recursion(branches, index - 1, x))
wrong("without_block", "off-by-one")(lambda branches, index, x: by_recursion(branches, index + 1, x))
wrong("without_block", "returns-input")(lambda branches, index, x: x)
wrong("without_block", "takes-it-off-afterwards")(lambda b, i, x: run(b, x) - b[i](x))


@wrong("without_block", "changes-list")
def pops(branches, index, x):
    branches.pop(index)
    return run(branches, x)


@wrong("without_block", "doubles-the-signal")
def puts_an_identity_in(branches, index, x):
    branches = branches[:index] + [nn.Identity()] + branches[index + 1 :]
    return run(branches, x)


@wrong("without_block", "branch-without-plus")
def drops_the_shortcut(branches, index, x):
    for n, branch in enumerate(branches):
        x = branch(x) if n == index else x + branch(x)
    return x


@wrong("without_block", "no-shortcut")
def no_addition_at_all(branches, index, x):
    for n, branch in enumerate(branches):
        if n != index:
            x = branch(x)
    return x


@wrong("without_block", "zeros-the-signal")
def sets_to_zero(branches, index, x):
    for n, branch in enumerate(branches):
        x = torch.zeros_like(x) if n == index else x + branch(x)
    return x


@wrong("without_block", "adds-the-input")
def adds_the_first_input(branches, index, x):
    out = x
    for n, branch in enumerate(branches):
        if n != index:
            out = branch(out) + x
    return out


@wrong("without_block", "branches-on-the-input")
def hands_all_the_same_input(branches, index, x):
    return x + sum(branch(x) for n, branch in enumerate(branches) if n != index)


@wrong("without_block", "returns-too-early")  # noqa: RET503
def returns_inside_the_loop(branches, index, x):
    for n, branch in enumerate(branches):
        if n != index:
            x = x + branch(x)
        return x


# filter_normalised(direction, weight)


@right("filter_normalised")
def by_broadcasting(direction, weight):
    norm = lambda t: torch.linalg.vector_norm(t, dim=(1, 2, 3), keepdim=True)  # noqa: E731
    return direction / norm(direction) * norm(weight)


@right("filter_normalised")
def filter_by_filter(direction, weight):
    return torch.stack([d * (w.norm() / d.norm()) for d, w in zip(direction, weight, strict=True)])


@right("filter_normalised")
def through_normalize(direction, weight):
    unit = F.normalize(direction.flatten(1), dim=1)
    return (unit * weight.flatten(1).norm(dim=1, keepdim=True)).reshape(weight.shape)


@right("filter_normalised")
def by_einsum(d, w):
    factor = (torch.einsum("oijk,oijk->o", w, w) / torch.einsum("oijk,oijk->o", d, d)).sqrt()
    return torch.einsum("o,oijk->oijk", factor, d)


@right("filter_normalised")
def into_a_clone(direction, weight):
    out = direction.clone()
    for i in range(len(out)):
        out[i] = direction[i] * torch.linalg.vector_norm(weight[i]) / torch.linalg.vector_norm(direction[i])
    return out


def size(t, dim=(1, 2, 3)):
    return (t**2).sum(dim, keepdim=True) ** 0.5


wrong("filter_normalised", "whole-layer")(lambda d, w: d * w.norm() / d.norm())
wrong("filter_normalised", "unit-filters")(lambda d, w: d / size(d))
wrong("filter_normalised", "unit-filters")(lambda d, w: F.normalize(d.flatten(1)).view_as(d))
wrong("filter_normalised", "not-divided")(lambda d, w: d * size(w))
wrong("filter_normalised", "turned-round")(lambda d, w: d * size(d) / size(w))
wrong("filter_normalised", "scales-the-weight")(lambda d, w: w * size(d) / size(w))
wrong("filter_normalised", "input-channels")(lambda d, w: d * size(w, (0, 2, 3)) / size(d, (0, 2, 3)))
wrong("filter_normalised", "each-kernel")(lambda d, w: d * size(w, (2, 3)) / size(d, (2, 3)))
wrong("filter_normalised", "each-kernel")(lambda d, w: d * w.norm(dim=(2, 3), keepdim=True) / size(d, (2, 3)))
wrong("filter_normalised", "squared-norms")(lambda d, w: d * size(w) ** 2 / size(d) ** 2)
wrong("filter_normalised", "every-weight")(lambda d, w: d.sign() * w.abs())
wrong("filter_normalised", "every-weight")(lambda d, w: d / d.abs() * w.abs())
wrong("filter_normalised", "returns-input")(lambda d, w: d)
wrong("filter_normalised", "no-keepdim")(lambda d, w: d * w.square().sum((1, 2, 3)).sqrt() / size(d).flatten())
wrong("filter_normalised", "no-keepdim")(lambda d, w: d * (w.flatten(1).norm(dim=1) / d.flatten(1).norm(dim=1)))
wrong("filter_normalised", "sum-of-absolutes")(
    lambda d, w: d * w.abs().sum((1, 2, 3), keepdim=True) / d.abs().sum((1, 2, 3), keepdim=True)
)
wrong("filter_normalised", "largest-in-place-of-norm")(
    lambda d, w: d * w.abs().amax((1, 2, 3), keepdim=True) / d.abs().amax((1, 2, 3), keepdim=True)
)
wrong("filter_normalised", "deviation-for-norm")(
    lambda d, w: d * w.std((1, 2, 3), keepdim=True) / d.std((1, 2, 3), keepdim=True)
)


@wrong("filter_normalised", "changes-input")
def in_place(direction, weight):
    direction.mul_(size(weight) / size(direction))
    return direction
