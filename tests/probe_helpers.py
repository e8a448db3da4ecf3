"""What the tests of the probes share: small nets, a net that works in place, a picture of all that may not change."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from resnet_lib.data.images import ImageSet
from resnet_lib.models.cifar import cifar_resnet
from resnet_lib.models.resnet import ResNet
from resnet_lib.training.loop import seeded

CLASSES = tuple("abcdefghij")


def small_net(depth: int = 8, *, seed: int = 0, settle: bool = True, width: int = 4, **options: Any) -> ResNet:
    """A net in float64. `settle`: with gammas, betas and running statistics that are no round numbers."""
    with seeded(seed):
        model = cifar_resnet(depth, width=width, in_channels=1, **options).double()
        if settle:
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.weight.data.uniform_(0.5, 1.5)
                    module.bias.data.uniform_(-0.5, 0.5)
                    module.get_buffer("running_mean").uniform_(-0.5, 0.5)
                    module.get_buffer("running_var").uniform_(0.5, 1.5)
    return model


def small_batch(count: int = 6, size: int = 8, seed: int = 0) -> ImageSet:
    """Noise with labels, float64 (count, 1, size, size)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(count, 1, size, size, generator=generator, dtype=torch.float64)
    return ImageSet(images, torch.randint(10, (count,), generator=generator), CLASSES)


class ForeignBlock(nn.Module):
    """As found in the wild: ReLUs in place, one module for both, registered in another order than they run."""

    def __init__(self, channels: int, inplace: bool):
        super().__init__()
        self.relu = nn.ReLU(inplace=inplace)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels)
        self.first = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out = self.second(self.relu(self.norm(self.first(x))))
        if self.relu.inplace:
            out += x
        else:
            out = out + x
        return self.relu(out)


class ForeignNet(nn.Module):
    """Begins with an in-place ReLU on its very input and draws random numbers (dropout) in train mode."""

    def __init__(self, inplace: bool):
        super().__init__()
        self.stem = nn.Conv2d(1, 4, 3, padding=1)
        self.fc = nn.Linear(4, 10)
        self.relu = nn.ReLU(inplace=inplace)
        self.layer1 = nn.Sequential(*(ForeignBlock(4, inplace) for _ in range(2)))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.stem(self.relu(x)))
        return self.fc(self.dropout(self.layer1(x).mean((2, 3))))


def foreign_net(inplace: bool = True) -> ForeignNet:
    with seeded(0):
        return ForeignNet(inplace).double()


def by_hand(model: ResNet, x: Tensor, *, training: bool, deleted: tuple[str, ...] = ()) -> Tensor:
    """The logits of a V1 net of basic blocks, from its state dict with functions alone: an independent original."""
    state = dict(model.named_parameters()) | {name: buffer.clone() for name, buffer in model.named_buffers()}

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        return F.batch_norm(x, mean, var, state[f"{name}.weight"], state[f"{name}.bias"], training)

    x = norm(F.conv2d(x, state["conv1.weight"], padding=1), "bn1").relu()
    for stage in (1, 2, 3):
        for index in range(model.config.layers[stage - 1]):
            name = f"layer{stage}.{index}"
            stride = 2 if stage > 1 and index == 0 else 1
            if f"{name}.downsample.0.weight" in state:
                way = norm(F.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride), f"{name}.downsample.1")
            else:
                way = x[:, :, ::stride, ::stride]
                way = torch.cat([way, torch.zeros_like(way)], 1) if stride == 2 else way
            out = norm(F.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.bn1").relu()
            out = norm(F.conv2d(out, state[f"{name}.conv2.weight"], padding=1), f"{name}.bn2")
            plain = model.config.shortcut is None
            x = (x if plain else way.relu()) if name in deleted else (out if plain else out + way).relu()
    return F.linear(x.mean((2, 3)), state["fc.weight"], state["fc.bias"])


def state_of(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """All that a probe might disturb: tensors, and the rest."""
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    grads = {f"{name}.grad": p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    values = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    return values | grads | {"random": torch.get_rng_state()}, {
        "objects": [(id(tensor), tensor.data_ptr(), tensor._version) for tensor in tensors.values()],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "modules": [(name, id(module)) for name, module in model.named_modules()],
        "modes": [module.training for module in model.modules()],
        "hooks": [len(getattr(module, hook)) for module in model.modules() for hook in hooks],
        "forwards": ["forward" in module.__dict__ for module in model.modules()],
        "dtype": torch.get_default_dtype(),
        "threads": torch.get_num_threads(),
        "grad mode": (torch.is_grad_enabled(), torch.is_inference_mode_enabled()),
    }


@contextmanager
def nothing_changes(model: nn.Module, *inputs: Tensor) -> Iterator[None]:
    """Inside, anything; afterwards, bit for bit what was before, in the net, the inputs and the surroundings."""
    tensors, rest = state_of(model)
    copies = [x.clone() for x in inputs]
    yield
    tensors_after, rest_after = state_of(model)
    assert rest_after == rest
    torch.testing.assert_close(tensors_after, tensors, rtol=0, atol=0, equal_nan=True)
    torch.testing.assert_close(list(inputs), copies, rtol=0, atol=0, equal_nan=True)
    assert not any(x.requires_grad for x in inputs)


def awkward(model: nn.Module) -> nn.Module:
    """A net in the middle of somebody's work: mixed modes, some weights frozen, gradients in place."""
    model.train()
    first, *_, last = model.parameters()
    first.requires_grad_(False)
    last.grad = torch.ones_like(last)
    next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d)).eval()
    return model


class Stop(Exception):
    """Raised in the middle of a forward pass."""


def stop_in(module: nn.Module) -> Callable[[], None]:
    """Let `module` fail when it is called; returns what takes that back."""

    def forward(*_: object) -> None:
        raise Stop

    own = module.__dict__.get("forward")
    module.__dict__["forward"] = forward
    return lambda: module.__dict__.pop("forward") if own is None else None
