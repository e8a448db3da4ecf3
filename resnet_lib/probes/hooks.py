"""What every probe stands on: look at a net without touching it, and put everything back.

No probe writes to `.grad`, the default dtype or the number of threads; the rest is restored here.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from resnet_lib.models.blocks import Block
from resnet_lib.training.loop import device_of


@contextmanager
def undisturbed(model: nn.Module, *, training: bool) -> Iterator[None]:
    """Probe `model` in train or eval mode; afterwards it is bit for bit what it was, also after an exception.

    Restored: the mode of each module, buffers (the running statistics of batch norm), requires_grad, random numbers.
    """
    modes = [(module, module.training) for module in model.modules()]
    learning = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    buffers = [(m._buffers, name, b) for m in model.modules() for name, b in m._buffers.items() if b is not None]
    try:
        with torch.random.fork_rng(), torch.inference_mode(False), torch.enable_grad():
            for owner, name, buffer in buffers:
                owner[name] = buffer.clone()  # the probe may change the copy
            model.train(training)
            yield
    finally:
        for owner, name, buffer in buffers:
            owner[name] = buffer
        for parameter, requires_grad in learning:
            parameter.requires_grad_(requires_grad)
        for module, mode in modes:
            module.training = mode


@contextmanager
def hooked(modules: Mapping[str, nn.Module], hook: Callable[[str, Any, Any], Any]) -> Iterator[None]:
    """Call hook(name, input, output) after each of `modules` ran; what it returns, unless None, is handed on instead.

    The hooks are gone when the block ends, also by an exception.
    """
    with ExitStack() as stack:
        for name, module in modules.items():
            stack.enter_context(
                module.register_forward_hook(lambda _, args, out, name=name: hook(name, args[0] if args else None, out))
            )
        yield


@contextmanager
def watching(modules: Mapping[str, nn.Module]) -> Iterator[dict[str, Tensor]]:
    """The outputs of `modules` by name, in the order in which they ran; of a module that ran twice, the last.

    What is kept is part of the graph, so it has a gradient, and shares no memory with the net: an in-place ReLU
    that follows cannot change it.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, _: Any, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            raise TypeError(f"{name} must return one tensor to be watched, it gave {type(output).__name__}")
        outputs[name] = output.clone()
        return outputs[name].clone()

    with hooked(modules, keep):
        yield outputs


def named_blocks(model: nn.Module) -> dict[str, nn.Module]:
    """The blocks of any net: this library's, else the members of its layer1, layer2, … ValueError where none are."""
    blocks: dict[str, nn.Module] = {name: m for name, m in model.named_modules() if isinstance(m, Block)}
    stages = [(n, m) for n, m in model.named_children() if n.startswith("layer") and isinstance(m, nn.Sequential)]
    blocks = blocks or {f"{stage}.{name}": block for stage, m in stages for name, block in m.named_children()}
    if not blocks:
        raise ValueError(f"model must have blocks, in stages layer1, layer2, …; {type(model).__name__} has none")
    return blocks


def own_blocks(model: nn.Module, *, residual: bool = False) -> dict[str, Block]:
    """This library's blocks by name; with `residual` those that have a shortcut. ValueError where none are."""
    own = {name: block for name, block in named_blocks(model).items() if isinstance(block, Block)}
    found = {name: block for name, block in own.items() if block.downsample is not None} if residual else own
    if not found:
        kind = "residual blocks" if residual else "blocks"
        raise ValueError(
            f"model must have {kind} of this library (BasicBlock, …), this {type(model).__name__} has none"
        )
    return found


@contextmanager
def replaced(methods: Mapping[Block, Mapping[str, Callable[..., Tensor]]]) -> Iterator[None]:
    """Let blocks compute something else in `forward`, `residual` or `add`.

    Modules, names and modes stay, so eval() and state_dict() work as ever; in the end the blocks are what they were.
    """
    before = {block: dict(vars(block)) for block in methods}
    try:
        for block, changed in methods.items():
            vars(block).update(changed)
        yield
    finally:
        for block, changed in methods.items():
            for name in changed:
                vars(block).pop(name, None)
                if name in before[block]:  # this was a change inside a change
                    vars(block)[name] = before[block][name]


def find_layer(model: nn.Module, layer: str | None) -> tuple[str, nn.Module]:
    """A module by its name; the last block for None. ValueError lists the names there are."""
    modules = {name: module for name, module in model.named_modules() if name}
    name = list(named_blocks(model))[-1] if layer is None else layer
    if name not in modules:
        raise ValueError(f"layer must be one of {', '.join(modules)}; got {layer!r}")
    return name, modules[name]


def checked(model: nn.Module, images: Tensor, labels: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Copies of `images` (a net may work in place) and `labels`, beside the model's weights. NaN is let through."""
    if not isinstance(images, Tensor) or images.ndim != 4 or not images.is_floating_point() or not len(images):
        got = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images).__name__
        raise ValueError(
            f"images must be a floating-point tensor of shape (N, C, H, W) with N of at least 1, got {got}"
        )
    if labels is None:
        labels = torch.zeros(len(images), dtype=torch.int64, device="cpu")
    if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
        got = f"{labels.dtype} {tuple(labels.shape)}"
        raise ValueError(f"labels must be int64 of shape ({len(images)},), one an image; got {got}")
    with torch.inference_mode(False):  # so that a caller in inference mode can have gradients
        return images.detach().to(device_of(model), copy=True), labels.to(device_of(model), copy=True)
