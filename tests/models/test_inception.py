"""Inception v3 against its forward pass, written once more from torchvision's names of weights."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.core.contracts import Model, Signature
from luban.nn.losses import WithAuxiliary

Weights = Mapping[str, Tensor]


def layer(
    w: Weights, name: str, x: Tensor, stride: int = 1, padding: int | tuple[int, int] = 0
) -> Tensor:
    x = F.conv2d(x, w[f"{name}.conv.weight"], stride=stride, padding=padding)
    mean, var, gamma, beta = (
        w[f"{name}.bn.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return F.relu(F.batch_norm(x, mean, var, gamma, beta, eps=0.001))


def block(w: Weights, name: str, x: Tensor) -> Tensor:
    """One of the five kinds, by what its weights are called."""

    def c(part: str, x: Tensor, padding: int | tuple[int, int] = 0, stride: int = 1) -> Tensor:
        return layer(w, f"{name}.{part}", x, stride, padding)

    def pooled() -> Tensor:
        return c("branch_pool", F.avg_pool2d(x, 3, stride=1, padding=1))

    def spread(part: str, x: Tensor) -> Tensor:
        return torch.cat([c(f"{part}a", x, (0, 1)), c(f"{part}b", x, (1, 0))], 1)

    if name == "Mixed_6a":
        deep = c("branch3x3dbl_2", c("branch3x3dbl_1", x), 1)
        sides = [c("branch3x3", x, 0, 2), c("branch3x3dbl_3", deep, 0, 2), F.max_pool2d(x, 3, 2)]
    elif name == "Mixed_7a":
        long = c("branch7x7x3_2", c("branch7x7x3_1", x), (0, 3))
        long = c("branch7x7x3_4", c("branch7x7x3_3", long, (3, 0)), 0, 2)
        sides = [c("branch3x3_2", c("branch3x3_1", x), 0, 2), long, F.max_pool2d(x, 3, 2)]
    elif name.startswith("Mixed_5"):
        deep = c("branch3x3dbl_2", c("branch3x3dbl_1", x), 1)
        wide = c("branch5x5_2", c("branch5x5_1", x), 2)
        sides = [c("branch1x1", x), wide, c("branch3x3dbl_3", deep, 1), pooled()]
    elif name.startswith("Mixed_6"):
        long = c("branch7x7_3", c("branch7x7_2", c("branch7x7_1", x), (0, 3)), (3, 0))
        deep = c("branch7x7dbl_1", x)
        for number, padding in enumerate([(3, 0), (0, 3), (3, 0), (0, 3)], 2):
            deep = c(f"branch7x7dbl_{number}", deep, padding)
        sides = [c("branch1x1", x), long, deep, pooled()]
    else:
        deep = c("branch3x3dbl_2", c("branch3x3dbl_1", x), 1)
        wide = spread("branch3x3_2", c("branch3x3_1", x))
        sides = [c("branch1x1", x), wide, spread("branch3x3dbl_3", deep), pooled()]
    return torch.cat(sides, 1)


def published(w: Weights, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits, and those of the auxiliary head."""
    c = partial(layer, w)
    x = c("Conv2d_2b_3x3", c("Conv2d_2a_3x3", c("Conv2d_1a_3x3", x, 2)), 1, 1)
    x = c("Conv2d_4a_3x3", c("Conv2d_3b_1x1", F.max_pool2d(x, 3, 2)))
    x = F.max_pool2d(x, 3, 2)
    for name in ("5b", "5c", "5d", "6a", "6b", "6c", "6d", "6e"):
        x = block(w, f"Mixed_{name}", x)
    extra = c("AuxLogits.conv1", c("AuxLogits.conv0", F.avg_pool2d(x, 5, stride=3))).mean((2, 3))
    for name in ("7a", "7b", "7c"):
        x = block(w, f"Mixed_{name}", x)
    logits = F.linear(x.mean((2, 3)), w["fc.weight"], w["fc.bias"])
    return logits, F.linear(extra, w["AuxLogits.fc.weight"], w["AuxLogits.fc.bias"])


@pytest.mark.parametrize("side", [299, 320])
def test_inception_computes_what_is_published(side: int) -> None:
    torch.manual_seed(0)
    model = Model.from_dict({"name": "inception", "width": 0.0625, "dropout": 0.0})
    module = model.build(Signature("pixels", 3, 5, produces="label", size=(side, side))).double()
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):  # statistics so small that eps counts
            part.running_mean.normal_(0, 0.1)  # type: ignore[union-attr]
            part.running_var.uniform_(0.002, 0.02)  # type: ignore[union-attr]
    pixels = torch.randn(2, 3, side, side).double()
    logits, extra = published(model.to_hf(module.state_dict()), pixels)
    found = module.eval()(pixels).detach()
    torch.testing.assert_close(found, logits, rtol=1e-9, atol=1e-9 * float(logits.abs().max()))
    module.train()  # the auxiliary head is used in training only; statistics stay the running ones
    for part in module.modules():
        part.training = part is module
    output = module(pixels)
    assert isinstance(output, WithAuxiliary)
    scale = float(extra.abs().max())
    torch.testing.assert_close(output.auxiliary.detach(), extra, rtol=1e-9, atol=1e-9 * scale)
