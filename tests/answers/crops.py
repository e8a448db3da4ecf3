"""Answers to `check_crop_and_flip`: (image, top, left, flip)."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from answers.bank import right, wrong


def padded(image, size=4, **options):
    return F.pad(image, (size,) * 4, **options)


def cut_from(frame, image, top, left):
    return frame[:, top : top + image.shape[1], left : left + image.shape[2]]


@right("crop_and_flip")
def pad_cut_flip(image, top, left, flip):
    cut = cut_from(padded(image), image, top, left)
    return cut.flip(2) if flip else cut


@right("crop_and_flip")
def into_zeros(image, top, left, flip):
    channels, height, width = image.size()
    canvas = torch.zeros(channels, height + 8, width + 8)
    canvas[:, 4:-4, 4:-4] = image
    canvas = canvas[:, top:, left:][:, :height, :width]
    if flip:
        canvas = torch.flip(canvas, [-1])
    return canvas


@right("crop_and_flip")
def of_numpy(image, top, left, flip):
    array = np.pad(image.numpy(), ((0, 0), (4, 4), (4, 4)))[:, top:, left:][:, : image.size(1), : image.size(2)]
    return torch.from_numpy(np.ascontiguousarray(array[:, :, ::-1] if flip else array))


@right("crop_and_flip")
def by_places(image, top, left, flip):
    _, height, width = image.shape
    rows, columns = torch.arange(height) + top, torch.arange(width) + left
    if flip:
        columns = columns.flipud()
    return nn.ZeroPad2d(4)(image)[:, rows[:, None], columns]


@right("crop_and_flip")
def narrows(image, top, left, flip):
    _, h, w = image.shape
    out = nn.ConstantPad2d(4, 0.0)(image.unsqueeze(0)).narrow(2, top, h).narrow(3, left, w).squeeze(0)
    return torch.stack([row.fliplr() for row in out]) if flip else out


@right("crop_and_flip")
def shifts_what_stays(image, top, left, flip):
    """No border at all: what stays inside is written to where it goes."""
    _, h, w = image.shape
    out, down, right_ = torch.zeros_like(image), 4 - top, 4 - left
    part = image[:, max(-down, 0) : h - max(down, 0), max(-right_, 0) : w - max(right_, 0)]
    y, x = max(down, 0), max(right_, 0)
    out[:, y : y + part.shape[1], x : x + part.shape[2]] = part
    return out[..., torch.arange(w - 1, -1, -1)] if flip else out


def crops(keys):
    """A wrong answer that cuts (image, top, left) in a wrong way and flips as it should."""

    def decorate(cut):
        def crop_and_flip(image, top, left, flip):
            image = cut(image, top, left)
            return image.flip(-1) if flip else image

        return wrong("crop_and_flip", keys)(crop_and_flip)

    return decorate


def flips(keys):
    """A wrong answer that cuts as it should and flips (image, flip) in a wrong way."""

    def decorate(turn):
        def crop_and_flip(image, top, left, flip):
            return turn(pad_cut_flip(image, top, left, False), flip)

        return wrong("crop_and_flip", keys)(crop_and_flip)

    return decorate


flips("never-flips")(lambda x, flip: x)
flips("always-flips")(lambda x, flip: x.flip(-1))
flips("flips-the-others")(lambda x, flip: x if flip else x.flip(-1))
flips("flips-another-axis")(lambda x, flip: torch.fliplr(x) if flip else x)
flips("flips-another-axis")(lambda x, flip: x.flip(-1, -2) if flip else x)
flips("flips-another-axis")(lambda x, flip: torch.flipud(x) if flip else x)
flips("flips-another-axis")(lambda x, flip: x.flip(0, 1, 2) if flip else x)
flips("raises")(lambda x, flip: x[:, :, ::-1] if flip else x)
flips("not-a-tensor")(lambda x, flip: (x.flip(-1) if flip else x).numpy())
flips("returns-none")(lambda x, flip: x.flip(-1) if flip else None)
crops("no-border")(lambda x, top, left: x[:, top:, left:])
crops("no-border")(lambda x, top, left: cut_from(x, x, top, left))
crops("not-moved")(lambda x, top, left: x)
crops("not-moved")(lambda x, top, left: cut_from(padded(x), x, 4, 4))
crops("border-not-zero")(lambda x, top, left: x.roll((4 - top, 4 - left), (1, 2)))
crops("border-not-zero")(lambda x, top, left: cut_from(padded(x, mode="circular"), x, top, left))
crops("border-not-zero")(lambda x, top, left: cut_from(padded(x, mode="replicate"), x, top, left))
crops("border-not-zero")(lambda x, top, left: cut_from(padded(x, mode="reflect"), x, top, left))
crops("border-not-zero")(lambda x, top, left: cut_from(padded(x, value=1), x, top, left))
crops("border-not-zero")(lambda x, top, left: cut_from(padded(x, value=0.5), x, top, left))
crops("border-width")(lambda x, top, left: cut_from(padded(x, 2), x, top, left))
crops("border-width")(lambda x, top, left: cut_from(padded(x, 8), x, top, left))
crops("counts-from-the-image")(lambda x, top, left: cut_from(F.pad(x, (0, 4, 0, 4)), x, top, left))
crops("border-width")(lambda x, top, left: cut_from(F.pad(x, (4, 0, 4, 0)), x, top, left))
crops("counts-from-the-image")(lambda x, top, left: cut_from(F.pad(x, (0, 8, 0, 8)), x, top, left))
crops("border-width")(lambda x, top, left: cut_from(F.pad(x, (4, 4)), x, top, left))
crops("channels-too")(lambda x, top, left: cut_from(F.pad(x, (4,) * 6), x, top, left))
crops("wrong-end")(lambda x, top, left: padded(x))
crops("wrong-end")(lambda x, top, left: padded(x)[:, top:, left:])
crops("wrong-size")(lambda x, top, left: padded(x)[:, top : top + x.shape[1], left : left + x.shape[1]])
crops("wrong-size")(lambda x, top, left: padded(x)[:, top : top + x.shape[2], left : left + x.shape[2]])
crops("wrong-size")(lambda x, top, left: cut_from(padded(x), x.transpose(1, 2), top, left))
crops("wrong-end")(lambda x, top, left: padded(x)[:, top : x.shape[1], left : x.shape[2]])
crops("channels-too")(lambda x, top, left: padded(x)[top : top + x.shape[1], left : left + x.shape[2]])
crops("channels-too")(lambda x, top, left: padded(x)[top : top + x.shape[0], left : left + x.shape[1]])
crops("wrong-size")(lambda x, top, left: padded(x)[:, top : top + x.shape[0], left : left + x.shape[1]])
crops("counts-from-the-image")(lambda x, top, left: cut_from(padded(x), x, top + 4, left + 4))
crops("moves-the-other-way")(lambda x, top, left: cut_from(padded(x), x, 8 - top, 8 - left))
crops("raises")(lambda x, top, left: cut_from(F.pad(x, 4), x, top, left))


@crops("changes-input")
def blackens_the_border(image, top, left):
    image[:, : max(top - 4, 0)] = 0
    return image.roll((4 - top, 4 - left), (1, 2))
