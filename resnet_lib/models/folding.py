"""For inference: a batch norm with fixed statistics is a linear map, and the convolution before it can take it over."""

from copy import deepcopy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from resnet_lib.models.blocks import Block
from resnet_lib.models.resnet import ResNet
from resnet_lib.models.shortcuts import ProjectionShortcut

V1_PAIRS = (("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3"))
PREACT_PAIRS = (("conv1", "bn2"), ("conv2", "bn3"))  # bn1 and the last norm follow an addition: they stay


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
    for module in folded.modules():
        for conv_name, norm_name in _pairs(module):
            conv, norm = getattr(module, conv_name, None), getattr(module, norm_name, None)
            if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, norm))
                setattr(module, norm_name, nn.Identity())
    return folded.eval()  # a new Identity starts in training mode


def _pairs(module: nn.Module) -> tuple[tuple[str, str], ...]:
    if isinstance(module, ProjectionShortcut):
        return (("0", "1"),)
    if isinstance(module, (ResNet, Block)):
        preact = module.config.block.preact if isinstance(module, ResNet) else module.preact
        return PREACT_PAIRS if preact else V1_PAIRS
    return ()
