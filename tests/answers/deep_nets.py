"""Answers to `check_resnet50`, `check_resnet101` and `check_resnet152`: (img_channel=3, num_classes=1000)."""

from functools import partial

from torch import nn

import resnet_lib as rl
from answers.bank import right, wrong
from answers.bottlenecks import ArticleBlock, KeepsBias, ReluBeforeAddOnly, StrideOnFirst
from answers.nets import (
    ArticleNet,
    AsASequence,
    EndsInSoftmax,
    NoMaxPool,
    NoStemRelu,
    OneBlockRepeated,
    Projection3x3,
    ProjectionByStride,
    StagesInReverse,
    Strides2111,
)

COUNTS = {"50": [3, 4, 6, 3], "101": [3, 4, 23, 3], "152": [3, 8, 36, 3]}


def net(layers, block=ArticleBlock, make=ArticleNet):
    """What the article writes three times."""

    def resnet(img_channel=3, num_classes=1000):
        return make(block, layers, img_channel, num_classes)

    return resnet


for depth, counts in COUNTS.items():
    exercise = f"resnet{depth}"
    right(exercise)(net(counts))
    right(exercise)(getattr(rl, exercise))
    right(exercise)(partial(StagesInReverse, ArticleBlock, counts))
    for other in COUNTS:
        if other != depth:
            wrong(exercise, f"is-resnet{other}")(net(COUNTS[other]))
    wrong(exercise, "is-resnet34")(rl.resnet34)
    wrong(exercise, "one-block-more")(net([n + 1 for n in counts]))
    wrong(exercise, "one-block-less")(net([n - 1 for n in counts]))
    wrong(exercise, "ignores-classes")(lambda i=3, n=1000, counts=counts: ArticleNet(ArticleBlock, counts, i, 1000))
    wrong(exercise, "ignores-channels")(lambda i=3, n=1000, counts=counts: ArticleNet(ArticleBlock, counts, 3, n))
    wrong(exercise, "signature")(lambda counts=counts: ArticleNet(ArticleBlock, counts, 3, 1000))
    wrong(exercise, "returns-none")(lambda img_channel=3, num_classes=1000: None)

right("resnet50")(net(COUNTS["50"], make=AsASequence))
right("resnet50")(lambda i=3, n=1000: nn.Sequential(rl.resnet50(i, n)))

wrong("resnet50", "swapped-middle")(net([3, 6, 4, 3]))
wrong("resnet101", "swapped-middle")(net([3, 23, 4, 3]))
wrong("resnet152", "swapped-middle")(net([3, 36, 8, 3]))
wrong("resnet101", "stage-counts")(net([3, 8, 23, 3]))
wrong("resnet152", "stage-counts")(net([3, 4, 36, 3]))
wrong("resnet50", "stage-counts")(net([2, 2, 2, 2]))
wrong("resnet50", "is-resnet50v2")(rl.resnet50v2)
wrong("resnet50", "shares-blocks")(net(COUNTS["50"], make=OneBlockRepeated))
wrong("resnet50", "not-a-module")(lambda img_channel=3, num_classes=1000: COUNTS["50"])
wrong("resnet50", "raises")(lambda i=3, n=1000: ArticleNet(ArticleBlock, COUNTS["50"]))
wrong("resnet50", "instance")(rl.resnet50(1, 10))

wrong("resnet152", "stride-on-1x1")(net(COUNTS["152"], block=StrideOnFirst))
wrong("resnet101", "no-maxpool")(net(COUNTS["101"], make=NoMaxPool))
wrong("resnet50", "stride-on-1x1")(partial(rl.resnet50, stride_on="1x1"))
wrong("resnet50", "no-stem-relu")(net(COUNTS["50"], make=NoStemRelu))
wrong("resnet50", "strides-2111")(net(COUNTS["50"], make=Strides2111))
wrong("resnet50", "ends-in-softmax")(net(COUNTS["50"], make=EndsInSoftmax))
wrong("resnet50", "relu-before-add, no-relu-after")(net(COUNTS["50"], block=ReluBeforeAddOnly))
wrong("resnet50", "conv-bias")(net(COUNTS["50"], block=KeepsBias))
wrong("resnet50", "projection-3x3")(net(COUNTS["50"], make=Projection3x3))
wrong("resnet50", "projection-by-stride")(net(COUNTS["50"], make=ProjectionByStride))
wrong("resnet50", "projection-everywhere")(partial(rl.resnet50, shortcut="C"))
wrong("resnet50", "projection-zero-pad")(partial(rl.resnet50, shortcut="A"))
wrong("resnet50", "no-shortcut")(partial(rl.resnet50, shortcut=None))
