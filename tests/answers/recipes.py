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


wrong("warm_up", "first-step-zero")(lambda t, w, peak: peak * min(t / w, 1))
wrong("warm_up", "first-step-zero")(lambda t, w, peak: peak * t / w if t < w else peak)
wrong("warm_up", "first-step-zero")(lambda t, w, peak: peak * min(t / (w - 1), 1))
wrong("warm_up", "first-step-zero, never-ends")(lambda t, w, peak: peak * t / w)
wrong("warm_up", "never-ends")(lambda t, w, peak: peak * (t + 1) / w)
wrong("warm_up", "stays-low")(lambda t, w, peak: peak / 10)
wrong("warm_up", "stays-low")(lambda t, w, peak: peak / w)
wrong("warm_up", "a-jump")(lambda t, w, peak: peak if t >= w else 0.1 * peak)
wrong("warm_up", "a-jump")(lambda t, w, peak: peak / w if t < w else peak)
wrong("warm_up", "whole-division")(lambda t, w, peak: peak * min(t // w, 1))
wrong("warm_up", "a-jump")(lambda t, w, peak: 0.01 if t < w else peak)
wrong("warm_up", "no-warm-up")(lambda t, w, peak: peak)
wrong("warm_up", "ends-late")(lambda t, w, peak: peak * min((t + 1) / (w + 1), 1))
wrong("warm_up", "ends-early")(lambda t, w, peak: peak * min((t + 1) / (w - 1), 1))
wrong("warm_up", "overshoots")(lambda t, w, peak: peak * (t + 1) / w if t <= w else peak)
wrong("warm_up", "falls-after")(lambda t, w, peak: peak * (t + 1) / w if t < w else 0)
wrong("warm_up", "falls-after")(lambda t, w, peak: peak * (t + 1) / w if t < w else 0.1 * peak)
wrong("warm_up", "falls-after")(lambda t, w, peak: peak * min((t + 1) / w, (w / (t + 1)) ** 0.5))
wrong("warm_up", "turned-round")(lambda t, w, peak: peak * max(1 - t / w, 0))
wrong("warm_up", "turned-round")(lambda t, w, peak: peak * max(w - t - 1, 0) / w)
wrong("warm_up", "forgets-peak")(lambda t, w, peak: min((t + 1) / w, 1))
wrong("warm_up", "stops-at-one")(lambda t, w, peak: min(peak * (t + 1) / w, 1))
wrong("warm_up", "stops-at-one")(lambda t, w, peak: min(1.0, (t + 1) * peak / w))
wrong("warm_up", "max-for-min")(lambda t, w, peak: peak * max((t + 1) / w, 1))
wrong("warm_up", "max-for-min")(lambda t, w, peak: max(peak, peak * (t + 1) / w))
wrong("warm_up", "whole-division")(lambda t, w, peak: peak * min((t + 1) // w, 1))
wrong("warm_up", "brackets-missing")(lambda t, w, peak: peak * min(t + 1 / w, 1))
wrong("warm_up", "brackets-missing")(lambda t, w, peak: min(t + 1 / w * peak, peak))
wrong("warm_up", "not-linear")(lambda t, w, peak: peak * min((t + 1) / w, 1) ** 2)
wrong("warm_up", "not-linear")(lambda t, w, peak: peak * (1 - math.cos(math.pi * min((t + 1) / w, 1))) / 2)
wrong("warm_up", "starts-high")(lambda t, w, peak: peak * (1 / 3 + 2 / 3 * min(t / w, 1)))
wrong("warm_up", "starts-high")(lambda t, w, peak: 0.1 * peak + 0.9 * peak * min(t / (w - 1), 1))
wrong("warm_up", "ignores-warm-steps")(lambda t, w, peak: peak * min((t + 1) / 5, 1))
wrong("warm_up", "one-number")(lambda t, w, peak: [peak * (n + 1) / w for n in range(w)])
wrong("warm_up", "one-number")(lambda t, w, peak: np.linspace(peak / w, peak, w))
wrong("warm_up", "constant")(lambda t, w, peak: 0.1)
wrong("warm_up", "signature")(lambda step: 0.1 * min((step + 1) / 5, 1))
wrong("warm_up", "returns-none")(lambda t, w, peak: print(peak * min((t + 1) / w, 1)))
wrong("warm_up", "raises")(lambda t, w, peak: LinearLR(peak, 1 / w, total_iters=w).get_last_lr()[t])


@wrong("warm_up", "returns-none")  # noqa: RET503
def forgets_what_comes_after(step, warm_steps, peak):
    if step < warm_steps:
        return peak * (step + 1) / warm_steps


# my_share(order, rank, processes)

right("my_share")(lambda order, rank, processes: order[rank::processes])
right("my_share")(lambda order, rank, n: [image for place, image in enumerate(order) if place % n == rank])
right("my_share")(lambda order, rank, n: [order[place] for place in range(rank, len(order), n)])
right("my_share")(lambda order, rank, n: list(itertools.islice(order, rank, None, n)))
right("my_share")(lambda order, rank, n: np.array(order).reshape(-1, n)[:, rank])
right("my_share")(lambda order, rank, n: torch.tensor(order)[rank::n].tolist())
right("my_share")(lambda order, rank, n: list(map(order.__getitem__, range(rank, len(order), n))))


@right("my_share")
def deals_out(order, rank, processes):
    hands = [[] for _ in range(processes)]
    for place, image in enumerate(order):
        hands[place % processes].append(image)
    return hands[rank]


@right("my_share")
def sampler_of_torch(order, rank, processes):
    sampler = torch.utils.data.DistributedSampler(order, processes, rank, shuffle=False)
    return [order[place] for place in sampler]


wrong("my_share", "takes-everything")(lambda order, rank, n: order)
wrong("my_share", "takes-everything")(lambda order, rank, n: list(order))
wrong("my_share", "takes-a-piece")(lambda order, rank, n: np.array_split(order, n)[rank])
wrong("my_share", "takes-a-piece")(
    lambda order, rank, n: order[rank * len(order) // n : (rank + 1) * len(order) // n],
)
wrong("my_share", "counts-from-one")(lambda order, rank, n: order[rank + 1 :: n])
wrong("my_share", "counts-from-one")(lambda order, rank, n: order[rank - 1 :: n])
wrong("my_share", "the-same-for-all")(lambda order, rank, n: order[::n])
wrong("my_share", "the-same-for-all")(lambda order, rank, n: order[: len(order) // n])
wrong("my_share", "step-and-start-swapped")(lambda order, rank, n: order[n::rank])
wrong("my_share", "step-and-start-swapped")(lambda order, rank, n: list(itertools.islice(order, n, None, rank or 1)))
wrong("my_share", "everything-from-rank")(lambda order, rank, n: order[rank:])
wrong("my_share", "end-for-step")(lambda order, rank, n: order[rank:n])
wrong("my_share", "end-for-step")(lambda order, rank, n: order[rank : rank + n])
wrong("my_share", "one-index")(lambda order, rank, n: order[rank])
wrong("my_share", "one-index")(lambda order, rank, n: [order[rank]])
wrong("my_share", "places-not-images")(lambda order, rank, n: range(rank, len(order), n))
wrong("my_share", "by-value")(lambda order, rank, n: [image for image in order if image % n == rank])
wrong("my_share", "sorts")(lambda order, rank, n: sorted(order)[rank::n])
wrong("my_share", "step-one-more")(lambda order, rank, n: order[rank :: n + 1])
wrong("my_share", "shares-of-all")(lambda order, rank, n: [order[r::n] for r in range(n)])
wrong("my_share", "takes-the-others")(lambda order, rank, n: [x for i, x in enumerate(order) if i % n != rank])
wrong("my_share", "not-a-list")(lambda order, rank, n: set(order[rank::n]))
wrong("my_share", "not-a-list")(lambda order, rank, n: len(order) // n)
wrong("my_share", "signature")(lambda order, rank: order[rank::2])
wrong("my_share", "returns-none")(lambda order, rank, n: order[rank::n].sort())
wrong("my_share", "raises")(lambda order, rank, n: order[rank, n])


@wrong("my_share", "changes-list")
def takes_images_away(order, rank, processes):
    share = order[rank::processes]
    del order[rank::processes]
    return share


@wrong("my_share", "one-index")  # noqa: RET503
def returns_in_the_loop(order, rank, processes):
    share = []
    for place in range(rank, len(order), processes):
        share.append(order[place])
        return share
