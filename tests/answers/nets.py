"""Answers to `check_make_layer`: (block, layers, image_channels, num_classes)."""

from torch import nn
from torch.nn import functional as F

import resnet_lib as rl
from answers.bank import right, wrong


@right("make_layer")
class ArticleNet(nn.Module):
    """The article's own class, corrected. The wrong answers change a line of it."""

    strides = (1, 2, 2, 2)
    widths = (64, 128, 256, 512)

    def __init__(self, block, layers, image_channels, num_classes):
        super().__init__()
        self.in_channels = 64
        self.conv1 = nn.Conv2d(image_channels, 64, kernel_size=7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.maxpool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.layer1 = self._make_layer(block, layers[0], self.widths[0], self.strides[0])
        self.layer2 = self._make_layer(block, layers[1], self.widths[1], self.strides[1])
        self.layer3 = self._make_layer(block, layers[2], self.widths[2], self.strides[2])
        self.layer4 = self._make_layer(block, layers[3], self.widths[3], self.strides[3])
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(512 * 4, num_classes)

    def stem(self, x):
        return self.maxpool(self.relu(self.bn1(self.conv1(x))))

    def head(self, x):
        x = self.avgpool(x)
        x = x.reshape(x.shape[0], -1)
        return self.fc(x)

    def forward(self, x):
        return self.head(self.layer4(self.layer3(self.layer2(self.layer1(self.stem(x))))))

    def shortcut(self, channels, stride):
        if stride != 1 or self.in_channels != channels * 4:
            return self.projection(channels * 4, stride)
        return None

    def projection(self, out_channels, stride):
        return nn.Sequential(
            nn.Conv2d(self.in_channels, out_channels, kernel_size=1, stride=stride, bias=False),
            nn.BatchNorm2d(out_channels),
        )

    def _make_layer(self, block, num_residual_blocks, intermediate_channels, stride):
        layers = [block(self.in_channels, intermediate_channels, self.shortcut(intermediate_channels, stride), stride)]
        self.in_channels = intermediate_channels * 4
        for _ in range(num_residual_blocks - 1):
            layers.append(block(self.in_channels, intermediate_channels))
        return nn.Sequential(*layers)


@right("make_layer")
class AsASequence(nn.Sequential):
    """Nothing but an nn.Sequential, the head built first."""

    def __init__(self, block, layers, image_channels, num_classes):
        head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2048, num_classes)]
        stem = [
            nn.Conv2d(image_channels, 64, 7, 2, 3, bias=False),
            nn.BatchNorm2d(64),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        ]
        blocks, channels = [], 64
        for stage, count in enumerate(layers):
            width, out = 64 * 2**stage, 256 * 2**stage
            for n in range(count):
                stride = 2 if stage and not n else 1
                down = (
                    None if n else nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))
                )
                blocks.append(block(channels, width, down, stride))
                channels = out
        super().__init__(*stem, *blocks, *head)


@right("make_layer")
class StagesInReverse(nn.Module):
    """The last stage is built first; the mean is taken by hand."""

    def __init__(self, block, layers, image_channels, num_classes):
        super().__init__()
        self.classifier = nn.Linear(2048, num_classes)
        self.stages = nn.ModuleList()
        for stage in (3, 2, 1, 0):
            width = 64 << stage
            i, out, stride = (width * 2 if stage else 64), width * 4, min(stage + 1, 2)
            shortcut = nn.Sequential(nn.Conv2d(i, out, 1, stride, bias=False), nn.BatchNorm2d(out))
            rest = [block(out, width) for _ in range(layers[stage] - 1)]
            self.stages.insert(0, nn.Sequential(block(i, width, shortcut, stride), *rest))
        self.embedder = nn.Sequential(nn.Conv2d(image_channels, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64))

    def forward(self, pixel_values):
        x = F.max_pool2d(F.relu(self.embedder(pixel_values)), 3, 2, 1)
        for stage in self.stages:
            x = stage(x)
        return self.classifier(x.mean(dim=(2, 3)))


right("make_layer")(lambda block, layers, i, n: rl.ResNet(rl.Bottleneck, layers, in_channels=i, num_classes=n))


def changed(keys, exercise="make_layer"):
    """A wrong answer that is an ArticleNet with some methods or values of the class below."""
    return wrong(exercise, keys)


@changed("only-the-first-strides")
class Strides2111(ArticleNet):
    strides = (2, 1, 1, 1)


@changed("every-stage-strides")
class Strides2222(ArticleNet):
    strides = (2, 2, 2, 2)


@changed("no-stage-strides")
class Strides1111(ArticleNet):
    strides = (1, 1, 1, 1)


@changed("a-stage-strides-wrongly")
class Strides1122(ArticleNet):
    strides = (1, 1, 2, 2)


@changed("no-maxpool")
class NoMaxPool(ArticleNet):
    def stem(self, x):
        return self.relu(self.bn1(self.conv1(x)))


@changed("no-stem-relu")
class NoStemRelu(ArticleNet):
    def stem(self, x):
        return self.maxpool(self.bn1(self.conv1(x)))


@changed("no-stem-norm")
class NoStemNorm(ArticleNet):
    def __init__(self, *args):
        super().__init__(*args)
        self.bn1 = nn.Identity()


@changed("raises")
class MisspeltPool(ArticleNet):
    def stem(self, x):
        return self.max_pool(self.relu(self.bn1(self.conv1(x))))


@changed("raises")
class ListInSequential(ArticleNet):
    def _make_layer(self, block, num_residual_blocks, intermediate_channels, stride):
        return nn.Sequential(list(super()._make_layer(block, num_residual_blocks, intermediate_channels, stride)))


@changed("raises")
class NoReturnOfTheStage(ArticleNet):
    def _make_layer(self, block, num_residual_blocks, intermediate_channels, stride):
        super()._make_layer(block, num_residual_blocks, intermediate_channels, stride)


@changed("signature")
class WithoutBlock(nn.Module):
    def __init__(self, layers, image_channels, num_classes):
        super().__init__()
