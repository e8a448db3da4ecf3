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


@wrong("preact_net", "no-final-norm, no-final-relu, first-shortcut-raw")
class LikeKuangliu(NoEnd):
    """As in kuangliu/pytorch-cifar."""

    def activate_first(self):
        pass


@wrong("preact_net", "no-final-norm")
class NoLastNorm(NoEnd):
    def head(self, x):
        return self.fc(F.relu(x).mean((2, 3)))


@wrong("preact_net", "no-final-relu")
class NoLastRelu(PreActNet):
    def head(self, x):
        return self.fc(self.norm(x).mean((2, 3)))


@wrong("preact_net", "no-final-relu, first-shortcut-raw")
class NoLastReluAndRaw(NoLastRelu):
    def activate_first(self):
        pass


@wrong("preact_net", "norm-after-pool")
class NormAfterPool(PreActNet):
    def head(self, x):
        return self.fc(F.relu(self.norm(F.adaptive_avg_pool2d(x, 1))).flatten(1))


@wrong("preact_net", "relu-before-norm")
class ReluBeforeNorm(PreActNet):
    def head(self, x):
        return self.fc(self.norm(F.relu(x)).mean((2, 3)))


@wrong("preact_net", "first-shortcut-raw")
class FirstShortcutRaw(PreActNet):
    def activate_first(self):
        pass


@wrong("preact_net", "every-shortcut-activated")
class EveryShortcutActivated(PreActNet):
    def activate_first(self):
        for block in self.blocks:
            block.activate_shortcut = True


@wrong("preact_net", "widening-shortcuts-raw")
class SaysFalseToTheRest(PreActNet):
    def activate_first(self):
        for n, block in enumerate(self.blocks):
            block.activate_shortcut = n == 0


@wrong("preact_net", "widening-shortcuts-raw, first-shortcut-raw")
class EveryShortcutRaw(PreActNet):
    def activate_first(self):
        for block in self.blocks:
            block.activate_shortcut = False


@wrong("preact_net", "stem-norm")
class StemOfV1(PreActNet):
    def __init__(self, depth):
        super().__init__(depth)
        self.stem_norm = nn.BatchNorm2d(8)

    def stem(self, x):
        return F.relu(self.stem_norm(self.conv(x)))


@wrong("preact_net", "stem-norm, first-shortcut-raw")
class StemOfV1AndRaw(StemOfV1):
    def activate_first(self):
        pass


@wrong("preact_net", "stem-norm")
class StemWithNorm(StemOfV1):
    def stem(self, x):
        return self.stem_norm(self.conv(x))


@wrong("preact_net", "stem-norm")
class StemWithRelu(PreActNet):
    def stem(self, x):
        return F.relu(self.conv(x))


@wrong("preact_net", "max-pool-at-the-end")
class MaxPoolAtTheEnd(PreActNet):
    def head(self, x):
        return self.fc(F.relu(self.norm(x)).amax((2, 3)))


@wrong("preact_net", "ends-in-softmax")
class EndsInSoftmax(PreActNet):
    def head(self, x):
        return super().head(x).softmax(1)


@wrong("preact_net", "relu-at-the-end")
class ReluAtTheEnd(PreActNet):
    def head(self, x):
        return super().head(x).relu()


@wrong("preact_net", "norm-after-pool")
class ReluAfterPool(PreActNet):
    def head(self, x):
        return self.fc(F.relu(self.norm(x).mean((2, 3))))


@wrong("preact_net", "no-avgpool")
class NoAveragePool(PreActNet):
    def head(self, x):
        return self.fc(F.relu(self.norm(x)).flatten(1))


@wrong("preact_net", "no-flatten")
class NoFlatten(PreActNet):
    def head(self, x):
        return self.fc(F.adaptive_avg_pool2d(F.relu(self.norm(x)), 1))
