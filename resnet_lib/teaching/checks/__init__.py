"""Checks of the exercises. Each prints what it found and returns a Verdict; none raises.

checks.check_plain_block(MyBlock)
"""

from resnet_lib.teaching.checks.architecture import (
    check_basic_stage,
    check_conv_macs,
    check_map_size,
    check_sees,
)
from resnet_lib.teaching.checks.basics import (
    check_block_jacobian,
    check_blocks_for_depth,
    check_identity_conv,
    check_pixels,
    check_residual_sum,
    check_zero_init,
)
from resnet_lib.teaching.checks.blocks import (
    check_basic_block,
    check_bottleneck,
    check_plain_block,
    check_stride_position,
)
from resnet_lib.teaching.checks.measures import (
    check_conv_gradients,
    check_cosine,
    check_filter_normalised,
    check_path_lengths,
    check_signal_variances,
    check_without_block,
)
from resnet_lib.teaching.checks.nets import (
    check_make_layer,
    check_plain_net,
    check_resnet50,
    check_resnet101,
    check_resnet152,
)
from resnet_lib.teaching.checks.preact import check_preact_block, check_v2_bottleneck
from resnet_lib.teaching.checks.preactivation import check_keras_pool, check_left_of_x, check_preact_net
from resnet_lib.teaching.checks.recipes import check_crop_and_flip, check_my_share, check_new_head, check_warm_up
from resnet_lib.teaching.checks.shortcuts import (
    check_needs_projection,
    check_projection,
    check_shortcut_parameters,
    check_zero_pad,
)

__all__ = [
    "check_basic_block",
    "check_basic_stage",
    "check_block_jacobian",
    "check_blocks_for_depth",
    "check_bottleneck",
    "check_conv_gradients",
    "check_conv_macs",
    "check_cosine",
    "check_crop_and_flip",
    "check_filter_normalised",
    "check_identity_conv",
    "check_keras_pool",
    "check_left_of_x",
    "check_make_layer",
    "check_map_size",
    "check_my_share",
    "check_needs_projection",
    "check_new_head",
    "check_path_lengths",
    "check_pixels",
    "check_plain_block",
    "check_plain_net",
    "check_preact_block",
    "check_preact_net",
    "check_projection",
    "check_residual_sum",
    "check_resnet50",
    "check_resnet101",
    "check_resnet152",
    "check_sees",
    "check_shortcut_parameters",
    "check_signal_variances",
    "check_stride_position",
    "check_v2_bottleneck",
    "check_warm_up",
    "check_without_block",
    "check_zero_init",
    "check_zero_pad",
]
