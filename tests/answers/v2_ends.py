"""Answers to `check_preact_net`, (depth), that are wrong before the first block, behind the last or in a shortcut."""

from torch import nn
from torch.nn import functional as F

from answers.bank import wrong
from answers.v2_nets import PreActNet


@wrong("preact_net", "no-final-norm, no-final-relu")
class NoEnd(PreActNet):
    def __init__(self, depth):
        super().__init__(depth)
        del self.norm

    def head(self, x):
        return self.fc(x.mean((2, 3)))


@wrong("preact_net", "no-final-norm")
class NoLastNorm(NoEnd):
    def head(self, x):
        return self.fc(F.relu(x).mean((2, 3)))


class NoLastRelu(PreActNet):
    def head(self, x):
        return self.fc(self.norm(x).mean((2, 3)))


class StemOfV1(PreActNet):
    def __init__(self, depth):
        super().__init__(depth)
        self.stem_norm = nn.BatchNorm2d(8)

    def stem(self, x):
        return F.relu(self.stem_norm(self.conv(x)))
