"""A convolutional network over text: n-grams that matter, wherever they stand."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field, field_validator

from luban.core.contracts import Model, Signature
from luban.core.sizes import MAX_PARTS, Span
from luban.nn.convolution import ConvolutionalEncoder
from luban.nn.embedding import TokenEmbedding


class TextCNN(Model):
    """Convolutions of several widths and the largest answer of each filter (Kim 2014, 1408.5882).

    No position waits for another, so it trains fast; it sees no further than its widest filter.
    """

    accepts: ClassVar[tuple[str, ...]] = ("tokens",)
    produces: ClassVar[tuple[str, ...]] = ("label",)

    embedding_size: int = Field(default=128, ge=1, le=1_048_576)
    kernel_sizes: tuple[Span, ...] = Field(
        default=(3, 4, 5), max_length=MAX_PARTS, description="Tokens a filter sees."
    )
    num_filters: int = Field(default=100, ge=1, le=1_048_576, description="Filters of each width.")
    dropout: float = Field(default=0.5, ge=0, lt=1, description="Before the head.")
    embedding_dropout: float = Field(default=0.0, ge=0, lt=1)

    @field_validator("kernel_sizes")
    @classmethod
    def _several(cls, sizes: tuple[int, ...]) -> tuple[int, ...]:
        if not sizes:
            raise ValueError("at least one width")
        return sizes

    def build(self, signature: Signature) -> ConvolutionalEncoder:
        """Return the module with fresh weights, drawn from torch's global generator.

        Raises:
            RecipeError: if the task is not one over tokens that asks for a label.
        """
        self.check(signature)
        embedding = TokenEmbedding(
            signature.inputs, self.embedding_size, signature.segments, self.embedding_dropout
        )
        return ConvolutionalEncoder(
            embedding, self.kernel_sizes, self.num_filters, signature.outputs, self.dropout
        )

    def flops_per_token(self, signature: Signature, parameters: int) -> float:
        """Return 6 for each weight of a filter; a look-up, and the head once a text, cost little.

        ``parameters`` is not read: most of them are the table of embeddings.
        """
        filters = sum(self.kernel_sizes) * self.embedding_size * self.num_filters
        head = len(self.kernel_sizes) * self.num_filters * signature.outputs
        return 6.0 * (filters + head / max(1, signature.length))
