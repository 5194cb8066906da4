"""What reads frames of sound and gives a token for every few of them, or one label.

Shapes: B batch, T frames, S positions, M features, D width, C outputs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from luban.core.errors import CapacityError
from luban.nn.block import Block
from luban.nn.conformer import ConformerBlock, may_look
from luban.nn.initial import draw_weights
from luban.nn.norms import make_norm
from luban.nn.pooling import AttentionPooling, max_over, mean_over
from luban.nn.recurrent import Cell, Pooling, RecurrentLayer, turn
from luban.nn.rotary import Rotary
from luban.nn.shape import Shape
from luban.nn.subsampling import ConvolutionSubsampling, FrameStacking


class FrameEncoder(nn.Module, ABC):
    """Frames through a stem that makes them fewer, blocks, and a head.

    Args:
        stem: Frames and mask to positions and mask.
        size: D, of what ``features`` gives.
        outputs: C.
        pooling: How positions become one vector, for a label (None: an output at each).
        dropout: Before the head.
    """

    def __init__(
        self, stem: nn.Module, size: int, outputs: int, pooling: Pooling | None, dropout: float
    ) -> None:
        super().__init__()
        self.stem = stem
        self.blocks = nn.ModuleList()
        self.pooling = pooling
        self.attention = AttentionPooling(size) if pooling == "attention" else None
        self.head = nn.Linear(size, outputs)
        self.dropout = dropout

    def forward(self, input_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return logits: (B, C) for a label, (B, S, C) with S = ceil(T / stride) otherwise.

        Args:
            input_features: Shape (B, T, M), padded on the right.
            attention_mask: Shape (B, T), 0 at padding (None: no padding).
        """
        x, mask_BS = self._read(input_features, attention_mask)
        if self.attention is not None:
            x = self.attention(x, mask_BS)
        elif self.pooling is not None:
            x = (max_over if self.pooling == "max" else mean_over)(x, mask_BS)
        logits: Tensor = self.head(F.dropout(x, self.dropout, self.training))
        return logits

    def features(self, input_features: Tensor, attention_mask: Tensor | None = None) -> Tensor:
        """Return what the last block gives at each position, shape (B, S, D)."""
        return self._read(input_features, attention_mask)[0]

    def _read(self, x_BTM: Tensor, mask_BT: Tensor | None) -> tuple[Tensor, Tensor]:
        if mask_BT is None:
            mask_BT = torch.ones_like(x_BTM[:, :, 0], dtype=torch.long)
        x_BSD, mask_BS = self.stem(x_BTM, mask_BT)
        return self._through(x_BSD, mask_BS), mask_BS

    @abstractmethod
    def _through(self, x_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        """Return positions after all blocks."""


class TransformerFrames(FrameEncoder):
    """Blocks with attention and rotary positions, normalised at the end.

    Args:
        stem: Frames to positions.
        shape: Of the blocks.
        layers: How many.
        kernel: Of the convolution in each, for Conformer blocks (None: plain ones).
        positions: Longest S.
        outputs: C.
        pooling: For a label.
    """

    def __init__(  # noqa: PLR0913
        self,
        stem: ConvolutionSubsampling,
        shape: Shape,
        layers: int,
        kernel: int | None,
        positions: int,
        outputs: int,
        pooling: Pooling | None,
    ) -> None:
        super().__init__(stem, shape.hidden_size, outputs, pooling, shape.dropout)
        make: Callable[[], nn.Module] = lambda: (  # noqa: E731
            Block(shape) if kernel is None else ConformerBlock(shape, kernel)
        )
        self.blocks.extend(make() for _ in range(layers))
        # A Conformer block ends with a normalisation of its own.
        self.norm = make_norm(shape) if kernel is None else None
        self.rotary = Rotary(shape.head_dim, positions)
        self.positions = positions
        draw_weights(self, layers=layers, std=None, zero_out=False, head=None)

    def _through(self, x_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        length = x_BSD.shape[1]
        if length > self.positions:
            raise CapacityError(
                "the recording is longer than the model's positions.",
                expected=f"at most {self.positions:,}",
                got=length,
            )
        rotary = self.rotary(length)
        for block in self.blocks:
            if self.norm is None:
                x_BSD = block(x_BSD, rotary, mask_BS)
            else:
                x_BSD = block(x_BSD, rotary=rotary, mask=may_look(mask_BS))
        return x_BSD if self.norm is None else self.norm(x_BSD)


class RecurrentFrames(FrameEncoder):
    """Recurrent layers, one way or both ways (Graves and Schmidhuber 2005)."""

    def __init__(  # noqa: PLR0913
        self,
        stem: FrameStacking,
        cell: Cell,
        width: int,
        layers: int,
        outputs: int,
        *,
        both: bool,
        pooling: Pooling | None,
        dropout: float,
    ) -> None:
        size = 2 * width if both else width
        super().__init__(stem, size, outputs, pooling, dropout)
        inputs = [stem.linear.out_features, *[size] * (layers - 1)]
        self.blocks.extend(RecurrentLayer(cell, n, width, both=both) for n in inputs)

    def _through(self, x_BSD: Tensor, mask_BS: Tensor) -> Tensor:
        turned_BS = turn(mask_BS)
        for index, block in enumerate(self.blocks):
            if index:
                x_BSD = F.dropout(x_BSD, self.dropout, self.training)
            x_BSD = block(x_BSD, turned_BS)
        return x_BSD
