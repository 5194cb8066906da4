"""What models are built for, and what they read then."""

from __future__ import annotations

import torch

from luban.core.batch import Batch
from luban.core.contracts import Signature

_IDS = torch.randint(5, 23, (3, 7), generator=torch.Generator().manual_seed(0))
_READ = {"input_ids": _IDS, "attention_mask": torch.ones_like(_IDS)}
_PIXELS = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
_SPECIAL = {"length": 8, "pad": 0, "end": 1, "start": 2, "mask": 3}
#: What a model is built for, and what it then reads, by what goes in and what comes out.
SIGNATURES: dict[tuple[str, str], tuple[Signature, Batch]] = {
    ("tokens", "next"): (Signature("tokens", 23, 23, 8, 0, 1), Batch({"input_ids": _IDS}, {})),
    ("tokens", "tokens"): (
        Signature("tokens", 23, 23, produces="tokens", **_SPECIAL),  # type: ignore[arg-type]
        Batch(_READ, {}),
    ),
    ("tokens", "sequence"): (
        Signature("tokens", 23, 23, produces="sequence", **_SPECIAL),  # type: ignore[arg-type]
        Batch({**_READ, "decoder_input_ids": _IDS[:, :5]}, {}),
    ),
    ("pixels", "boxes"): (
        Signature("pixels", 3, 4, produces="boxes", size=(40, 24)),
        Batch({"pixel_values": torch.linspace(-2, 2, 2 * 2880).reshape(2, 3, 40, 24)}, {}),
    ),
    ("pixels", "image"): (
        Signature("pixels", 1, 4, produces="image", size=(8, 12)),
        Batch(
            {
                "pixel_values": torch.linspace(-1, 1, 3 * 96).reshape(3, 1, 8, 12),
                "noise": torch.linspace(-2, 1, 3 * 96).reshape(3, 1, 8, 12),
                "uniform": torch.tensor([0.0, 0.5, 0.99]),
                "labels": torch.tensor([0, 3, 4]),
            },
            {},
        ),
    ),
    **{
        ("frames", produces): (
            Signature("frames", 12, outputs, 40, pad=0, produces=produces, stride=stride),
            Batch(
                {
                    "input_features": torch.randn(
                        3, 21, 12, generator=torch.Generator().manual_seed(0)
                    ),
                    "attention_mask": (
                        torch.arange(21) < torch.tensor([21, 10, 3])[:, None]
                    ).long(),
                },
                {},
            ),
        )
        for produces, outputs, stride in (("label", 4, 4), ("alignment", 23, 2))
    },
    **{
        ("tokens", produces): (
            Signature("tokens", 23, outputs, produces=produces, **_SPECIAL),  # type: ignore[arg-type]
            Batch(_READ, {}),
        )
        for produces, outputs in (("label", 4), ("tags", 5), ("span", 2))
    },
    ("pixels", "label"): (
        Signature("pixels", 3, 4, produces="label", size=(32, 32)),
        Batch({"pixel_values": _PIXELS}, {}),
    ),
}
