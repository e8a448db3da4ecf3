"""Answers to `check_resnet50`, `check_resnet101` and `check_resnet152`: (img_channel=3, num_classes=1000)."""

from functools import partial

from torch import nn

import resnet_lib as rl
from answers.bank import right, wrong
from answers.bottlenecks import ArticleBlock
from answers.nets import (
    ArticleNet,
    AsASequence,
    StagesInReverse,
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
    wrong(exercise, "signature")(lambda counts=counts: ArticleNet(ArticleBlock, counts, 3, 1000))
    wrong(exercise, "returns-none")(lambda img_channel=3, num_classes=1000: None)

right("resnet50")(net(COUNTS["50"], make=AsASequence))
right("resnet50")(lambda i=3, n=1000: nn.Sequential(rl.resnet50(i, n)))
