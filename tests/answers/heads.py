"""Answers to `check_new_head`: (model, num_classes)."""

import copy

import torch
from torch import nn

import resnet_lib as rl
from answers.bank import right, wrong


def head_for(model, num_classes):
    return nn.Linear(model.fc.in_features, num_classes)


@right("new_head")
def freeze_and_replace(model, num_classes):
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.fc = head_for(model, num_classes)
    return model


@right("new_head")
def in_place(model, num_classes):
    model.requires_grad_(False)
    setattr(model, "fc", nn.Linear(model.fc.weight.shape[1], num_classes))  # noqa: B010


@right("new_head")
def replace_and_freeze_by_name(model, num_classes):
    model.fc = head_for(model, num_classes)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith("fc"))
    return model.eval()


@wrong("new_head", "changes-a-copy")
def in_a_copy(model, num_classes):
    model = copy.deepcopy(model)
    model.fc = head_for(model, num_classes)
    for name, child in model.named_children():
        if name != "fc":
            child.apply(lambda part: part.requires_grad_(False))
    return model


@wrong("new_head", "changes-a-copy")
def a_new_net_with_the_old_weights(model, num_classes):
    other = rl.cifar_resnet(8, in_channels=1, width=4, num_classes=num_classes)
    weights = {name: value for name, value in model.state_dict().items() if not name.startswith("fc.")}
    other.load_state_dict(weights, strict=False)
    for parameter in [*other.parameters()][:-2]:
        parameter.detach_()
    return other


@right("new_head")
def new_weights_in_the_old_layer(model, num_classes):
    model.requires_grad_(False)
    model.fc.weight = nn.Parameter(0.01 * torch.randn(num_classes, model.fc.in_features))
    model.fc.bias = nn.Parameter(torch.zeros(num_classes))
    model.fc.out_features = num_classes


@right("new_head")
def lazy(model, num_classes):
    model.requires_grad_(False).fc = nn.LazyLinear(num_classes)
    return model


def heads(keys, freeze=lambda model: model.requires_grad_(False)):
    """A wrong answer that freezes and puts head(model, num_classes) in the place of `fc`."""

    def decorate(head):
        def new_head(model, num_classes):
            freeze(model)
            model.fc = head(model, num_classes)
            return model

        return wrong("new_head", keys)(new_head)

    return decorate


def freezes(keys):
    """A wrong answer that replaces the classifier, then freezes in a wrong way."""

    def decorate(freeze):
        def new_head(model, num_classes):
            model.fc = head_for(model, num_classes)
            freeze(model)
            return model

        return wrong("new_head", keys)(new_head)

    return decorate


heads("head-not-linear")(lambda model, n: nn.Sequential(nn.Dropout(0.5), head_for(model, n)))
heads("head-not-linear")(lambda model, n: nn.Conv2d(model.fc.in_features, n, 1))
heads("head-width")(lambda model, n: nn.Linear(512, n))
heads("head-width")(lambda model, n: nn.Linear(model.fc.out_features, n))
heads("head-sizes-swapped")(lambda model, n: nn.Linear(n, model.fc.in_features))
heads("ignores-classes")(lambda model, n: head_for(model, 10))
heads("ignores-classes")(lambda model, n: head_for(model, 2))
heads("keeps-the-head")(lambda model, n: model.fc.requires_grad_())
heads("freezes-nothing", freeze=lambda model: None)(head_for)
heads("freezes-nothing", freeze=lambda model: model.eval())(head_for)
heads("freezes-nothing", freeze=lambda model: [p.detach() for p in model.parameters()])(head_for)
heads("freezes-nothing", freeze=lambda model: model.fc.requires_grad_(False))(head_for)
heads("raises", freeze=lambda model: model.freeze())(head_for)
freezes("freezes-all")(lambda model: model.requires_grad_(False))
freezes("freezes-the-head")(lambda model: model.fc.requires_grad_(False))
freezes("forgets-head-bias")(lambda model: [p.requires_grad_(False) for p in [*model.parameters()][:-2]] + [
    model.fc.bias.requires_grad_(False)
])  # fmt: skip
freezes("freezes-some")(lambda model: [p.requires_grad_(False) for p in model.parameters() if p.ndim == 4])
freezes("freezes-some")(lambda model: [getattr(model, f"layer{n}").requires_grad_(False) for n in (1, 2, 3)])
freezes("freezes-some")(lambda model: [p.requires_grad_("fc" in n or "bn" in n) for n, p in model.named_parameters()])


@freezes("freezes-modules")
def marks_modules(model):
    for name, child in model.named_children():
        if name != "fc":
            child.requires_grad = False


@freezes("misspelt-requires-grad")
def misspells(model):
    for name, parameter in model.named_parameters():
        if "fc" not in name:
            parameter.require_grad = False
