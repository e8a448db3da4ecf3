"""Answers that are tensors: zero_pad, residual_sum, block_jacobian, without_block, filter_normalised."""

import operator
from functools import reduce

import torch
from torch import nn
from torch.nn import functional as F
from torch.nn.functional import pad

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


@wrong("without_block", "changes-list")
def pops(branches, index, x):
    branches.pop(index)
    return run(branches, x)


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


@wrong("filter_normalised", "changes-input")
def in_place(direction, weight):
    direction.mul_(size(weight) / size(direction))
    return direction


# torch_kernel(kernel)

right("torch_kernel")(lambda kernel: kernel.permute(3, 2, 0, 1).contiguous())
right("torch_kernel")(lambda kernel: torch.einsum("hwio->oihw", kernel))
wrong("torch_kernel", "axes-permuted")(lambda kernel: kernel.permute(2, 3, 0, 1))
wrong("torch_kernel", "axes-permuted")(lambda kernel: kernel.T)
wrong("torch_kernel", "axes-permuted")(lambda kernel: kernel)
wrong("torch_kernel", "reshaped")(lambda kernel: kernel.reshape(kernel.shape[::-1]))
wrong("torch_kernel", "flipped")(lambda kernel: kernel.permute(3, 2, 0, 1).flip(2))
