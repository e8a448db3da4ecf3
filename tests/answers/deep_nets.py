"""Answers to `check_resnet152`: (img_channel=3, num_classes=1000)."""

from functools import partial

from torch import nn

import resnet_lib as rl
from answers.bank import right, wrong
from answers.bottlenecks import ArticleBlock
from answers.nets import ArticleNet, AsASequence, StagesInReverse

LAYERS = [3, 8, 36, 3]


@right("resnet152")
def as_in_the_article(img_channel=3, num_classes=1000):
    return ArticleNet(ArticleBlock, LAYERS, img_channel, num_classes)


right("resnet152")(rl.resnet152)
right("resnet152")(lambda i=3, n=1000: AsASequence(ArticleBlock, LAYERS, i, n))
right("resnet152")(lambda i=3, n=1000: nn.Sequential(rl.resnet152(i, n)))
right("resnet152")(partial(StagesInReverse, ArticleBlock, LAYERS))
wrong("resnet152", "signature")(lambda: ArticleNet(ArticleBlock, LAYERS, 3, 1000))
wrong("resnet152", "returns-none")(lambda img_channel=3, num_classes=1000: None)
wrong("resnet152", "stage-counts")(lambda i=3, n=1000: ArticleNet(ArticleBlock, [3, 4, 23, 3], i, n))
