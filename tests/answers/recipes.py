"""Answers of lesson 09: warm_up and my_share."""

import itertools
import math

import numpy as np
import torch
from torch.optim.lr_scheduler import LinearLR

from answers.bank import right, wrong

# warm_up(step, warm_steps, peak)

right("warm_up")(lambda step, warm_steps, peak: peak * min((step + 1) / warm_steps, 1))
right("warm_up")(lambda t, w, peak: min(peak, peak / w * (t + 1)))
right("warm_up")(lambda t, w, peak: np.interp(t, [-1, w - 1], [0, peak]))
right("warm_up")(lambda t, w, peak: np.linspace(peak / w, peak, w)[min(t, w - 1)])
right("warm_up")(lambda t, w, peak: torch.tensor((t + 1) / w).clamp(max=1) * peak)
right("warm_up")(lambda t, w, peak: [*[peak * n / w for n in range(1, w)], peak][t if t < w else -1])


@right("warm_up")
def in_two_parts(step, warm_steps, peak):
    if step >= warm_steps:
        return peak
    return (step + 1) * peak / warm_steps


@right("warm_up")
def by_adding(step, warm_steps, peak):
    rate = 0.0
    for _ in range(min(step + 1, warm_steps)):
        rate += peak / warm_steps
    return rate


@right("warm_up")
def scheduler_of_torch(step, warm_steps, peak):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=peak)
    scheduler = LinearLR(optimizer, start_factor=1 / warm_steps, total_iters=warm_steps - 1)
    for _ in range(min(step, warm_steps)):
        optimizer.step()
        scheduler.step()
    return optimizer.param_groups[0]["lr"]


@wrong("warm_up", "returns-none")  # noqa: RET503
def forgets_what_comes_after(step, warm_steps, peak):
    if step < warm_steps:
        return peak * (step + 1) / warm_steps


# my_share(order, rank, processes)

right("my_share")(lambda order, rank, processes: order[rank::processes])
right("my_share")(lambda order, rank, n: [image for place, image in enumerate(order) if place % n == rank])
right("my_share")(lambda order, rank, n: [order[place] for place in range(rank, len(order), n)])
right("my_share")(lambda order, rank, n: list(itertools.islice(order, rank, None, n)))
right("my_share")(lambda order, rank, n: torch.tensor(order)[rank::n].tolist())
right("my_share")(lambda order, rank, n: list(map(order.__getitem__, range(rank, len(order), n))))


@right("my_share")
def deals_out(order, rank, processes):
    hands = [[] for _ in range(processes)]
    for place, image in enumerate(order):
        hands[place % processes].append(image)
    return hands[rank]


@wrong("my_share", "changes-list")
def takes_images_away(order, rank, processes):
    share = order[rank::processes]
    del order[rank::processes]
    return share


# rates(low, high, count)


@right("rates")
def multiplies_on(low, high, count):
    factor, found = (high / low) ** (1 / (count - 1)), [low]
    while len(found) < count:
        found.append(found[-1] * factor)
    return found


right("rates")(lambda low, high, count: torch.logspace(math.log10(low), math.log10(high), count).tolist())
right("rates")(
    lambda low, high, count: [low ** (1 - i / (count - 1)) * high ** (i / (count - 1)) for i in range(count)]
)


@wrong("rates", "exponent-inverted")
def power_for_root(low, high, count):
    factor = (high / low) ** (count - 1)
    return [low * factor**i for i in range(count)]


@wrong("rates", "never-arrives")
def one_step_too_few(low, high, count):
    factor = (high / low) ** (1 / (count - 2))
    return [low * factor**i for i in range(count)]


@wrong("rates", "without-low")
def first_exponent_of_minus_one(low, high, count):
    factor = (high / low) ** (1 / (count - 1))
    return [low * factor ** (i - 1) for i in range(count)]


@wrong("rates", "exponent-whole")
def whole_exponent(low, high, count):
    factor = (high / low) ** (1 // (count - 1))
    return [low * factor**i for i in range(count)]


wrong("rates", "reversed")(lambda low, high, n: [high * (low / high) ** (i / (n - 1)) for i in range(n)])
