"""Lesson 00: one exercise, to see what a check says."""

from resnet_lib.teaching.checking import Exercise, noise, slip

# fmt: off
pixels = Exercise(
    "pixels(images)",
    praise="all sizes multiplied, for three batches of different shapes.",
    right=lambda x: x.numel(),
    cases=[(noise(*shape).relu(),) for shape in ((4, 1, 28, 28), (2, 3, 5, 7), (1, 1, 2, 2))],
    slips=[
        slip("forgets-a-size", "You multiply only some of the four sizes. The batch holds N · C · H · W numbers.",
             lambda x: len(x), lambda x: x[0].numel(), lambda x: x[0, 0].numel(), lambda x: len(x) * x[0, 0].numel(),
             lambda x: x.shape[-1], lambda x: x.shape[0] * x.shape[1], lambda x: x[..., 0].numel() * x.shape[2]),
        slip("adds-sizes", "You add the sizes. The number of values is their product.", lambda x: sum(x.shape)),
        slip("returns-sizes", "Those are the sizes. How many numbers does the batch hold?", lambda x: list(x.shape)),
        slip("sums-values", "You add up the values of the pixels. How many are there?", lambda x: x.sum().item()),
        slip("fixed-size", "There is a fixed image size in your code. Read the sizes from the shape of the batch.",
             lambda x: len(x) * 784, lambda x: x.shape[0] * x.shape[1] * 784),
    ],
)
