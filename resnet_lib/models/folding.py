"""For inference: a batch norm with fixed statistics is a linear map, and the convolution before it can take it over."""

from collections.abc import Iterator
from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resnet_lib.models.blocks import Block
from resnet_lib.models.orders import NormAfterAddition
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.shortcuts import ProjectionShortcut


def fold_batch_norm(model: ResNet) -> ResNet:
    """A copy of `model` with each norm that follows a convolution folded into it: the same logits, fewer operations.

    norm(W x) = gamma (W x - mean) / sqrt(var + eps) + beta, so W is scaled and the convolution gets a bias. `model`
    itself is untouched. Raises ValueError in training mode, where the statistics are the batch's.
    """
    if not isinstance(model, ResNet):
        raise TypeError(f"model must be a ResNet of this library, got {type(model).__name__}")
    training = [name or "the net" for name, module in model.named_modules() if module.training]
    if training:
        raise ValueError(
            f"model must be in eval mode, but {training[0]} is in training mode, where a norm uses the statistics "
            "of the batch and cannot be folded; call model.eval() first"
        )
    folded = deepcopy(model)
    for owner, conv, norm in list(normed_convolutions(folded)):
        setattr(owner, conv, fuse_conv_bn_eval(getattr(owner, conv), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    return folded.eval()  # a new Identity starts in training mode


def normed_convolutions(net: nn.Module) -> Iterator[tuple[nn.Module, str, str]]:
    """Every convolution of this library's modules whose output goes into a batch norm and nowhere else: the module that
    holds both, and their two names. A norm that follows an addition has no convolution of its own."""
    for owner in net.modules():
        if isinstance(owner, ProjectionShortcut):
            pairs = [("0", "1")]
        elif isinstance(owner, NormAfterAddition):
            pairs = [("conv1", "bn1")]
        elif isinstance(owner, (ResNet, Block)):
            preact = owner.config.block.preact if isinstance(owner, ResNet) else owner.preact
            pairs = [(f"conv{n}", f"bn{n + preact}") for n in (1, 2, 3)]  # in a pre-activation block bn1 comes first
        else:
            continue
        for conv, norm in pairs:
            both = getattr(owner, conv, None), getattr(owner, norm, None)
            if isinstance(both[0], nn.Conv2d) and isinstance(both[1], nn.BatchNorm2d):
                yield owner, conv, norm
