"""Recurrent and convolutional encoders: what torch and the papers say, and blind to padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from luban.core.contracts import Model, Signature
from luban.core.errors import RecipeError
from luban.models.rnn import RNN
from luban.models.textcnn import TextCNN
from luban.nn.convolution import ConvolutionalEncoder
from luban.nn.pooling import AttentionPooling, max_over, mean_over
from luban.nn.recurrent import RecurrentEncoder

LENGTHS = (9, 4, 1)


def signature(produces: str = "label", segments: int = 1, **more: Any) -> Signature:
    return Signature("tokens", 23, 4, 12, 0, 1, produces=produces, segments=segments, **more)


def read(*, types: bool = False) -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(3)
    keep = torch.arange(9) < torch.tensor(LENGTHS)[:, None]
    inputs = {"input_ids": torch.randint(1, 23, (3, 9), generator=draw).where(keep, 0)}
    inputs["attention_mask"] = keep.long()
    if types:
        inputs["token_type_ids"] = (torch.arange(9) > 2).expand(3, 9).long()
    return inputs


MODELS: dict[str, Model] = {
    **{f"rnn-{cell}": RNN(cell=cell, hidden_size=7) for cell in ("rnn", "lstm", "gru")},
    **{f"rnn-{pool}": RNN(hidden_size=7, pooling=pool) for pool in ("max", "mean", "attention")},
    "rnn-one-way": RNN(hidden_size=7, bidirectional=False),
    "textcnn": TextCNN(embedding_size=6, num_filters=5, kernel_sizes=(1, 2, 5, 12)),
}


@pytest.mark.parametrize("produces", ["label", "tags"])
@pytest.mark.parametrize("segments", [1, 2])
@pytest.mark.parametrize("name", MODELS)
def test_padding_changes_nothing(name: str, segments: int, produces: str) -> None:
    model, asked = MODELS[name], signature(produces, segments)
    if not model.fits(asked):
        assert name == "textcnn"
        return
    torch.manual_seed(0)
    module = model.build(asked).double().eval()
    inputs = read(types=segments > 1)
    whole = module(**inputs)
    for row, length in enumerate(LENGTHS):
        alone = {key: tensor[row : row + 1, :length] for key, tensor in inputs.items()}
        expected = whole[row] if produces == "label" else whole[row, :length]
        torch.testing.assert_close(module(**alone)[0], expected, atol=1e-12, rtol=0)
        del alone["attention_mask"]
        torch.testing.assert_close(module(**alone)[0], expected, atol=1e-12, rtol=0)


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_both_ways_is_what_torch_does_with_packed_rows(cell: Any) -> None:
    torch.manual_seed(0)
    module = RNN(cell=cell, hidden_size=7, num_hidden_layers=2).build(signature("tags")).eval()
    assert isinstance(module, RecurrentEncoder)
    kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}[cell]
    torchs = kind(7, 7, 2, batch_first=True, bidirectional=True)
    weights = {}
    for layer, block in enumerate(module.blocks):
        for part, suffix in (("right", ""), ("left", "_reverse")):
            for name, tensor in block.get_submodule(part).state_dict().items():
                weights[name.replace("_l0", f"_l{layer}{suffix}")] = tensor
    torchs.load_state_dict(weights)
    inputs = read()
    packed = pack_padded_sequence(
        module.stem(inputs["input_ids"]), torch.tensor(LENGTHS), batch_first=True
    )
    expected, _ = pad_packed_sequence(torchs(packed)[0], batch_first=True)
    found = module.features(**inputs) * inputs["attention_mask"][:, :, None]
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=0)


def test_a_language_model_never_looks_ahead() -> None:
    with pytest.raises(RecipeError, match="would see the token"):
        RNN(bidirectional=True).build(Signature("tokens", 5, 5))
    torch.manual_seed(0)
    names = RNN(hidden_size=4).build(Signature("tokens", 5, 5)).state_dict().keys()
    layers = {name.rpartition(".")[0] for name in names}
    assert layers == {"stem", "layers", "head"}


def test_the_second_text_reads_otherwise() -> None:
    for model in (RNN(hidden_size=7), TextCNN()):
        module = model.build(signature(segments=2)).eval()
        one, two = read(), read(types=True)
        assert not torch.allclose(module(**one), module(**two))


def test_neighbouring_tags_are_scored_beside_the_head() -> None:
    module = RNN(hidden_size=7).build(signature("tags", chain=True))
    assert isinstance(module, RecurrentEncoder)
    assert module.transitions.transitions.shape == (4, 4)


def test_pooling() -> None:
    x = torch.tensor([[[-3.0, 1.0], [-1.0, 2.0], [9.0, 9.0]], [[5.0, 5.0], [0.0, 0.0], [7.0, 1.0]]])
    mask = torch.tensor([[1, 1, 0], [0, 0, 0]])
    assert max_over(x, mask).tolist() == [[-1.0, 2.0], [0.0, 0.0]]
    assert mean_over(x, mask).tolist() == [[-2.0, 1.5], [0.0, 0.0]]
    pool = AttentionPooling(2)
    weights = pool.query(torch.tanh(pool.dense(x[:1, :2]))).softmax(1)
    expected = (weights * x[:1, :2]).sum(1)
    torch.testing.assert_close(pool(x, mask)[:1], expected)
    assert pool(x, mask).isfinite().all()


def test_convolutions_are_kims() -> None:
    """Every window inside the text, relu, the largest: written as loops."""
    torch.manual_seed(0)
    module = TextCNN(embedding_size=3, num_filters=4, kernel_sizes=(2, 5)).build(signature()).eval()
    assert isinstance(module, ConvolutionalEncoder)
    inputs = read()
    for row, length in enumerate(LENGTHS):
        x = module.stem(inputs["input_ids"][row, :length])
        pooled = []
        for size, convolution in zip((2, 5), module.convolutions, strict=True):
            assert isinstance(convolution, nn.Conv1d)
            assert convolution.bias is not None
            filled = torch.cat([x, x.new_zeros(max(0, size - length), 3)])
            windows = [filled[at : at + size] for at in range(len(filled) - size + 1)]
            answers = [(convolution.weight * w.T).sum((1, 2)) + convolution.bias for w in windows]
            pooled.append(torch.stack(answers).relu().amax(0))
        expected = module.head(torch.cat(pooled))
        torch.testing.assert_close(module(**inputs)[row], expected, atol=1e-5, rtol=0)


def test_kernel_sizes_are_checked() -> None:
    for sizes, problem in (
        ((), "at least one width"),
        ((0, 3), "greater than or equal to 1"),
        ((3, 10**9), "less than or equal to"),
    ):
        with pytest.raises(ValueError, match=problem):
            TextCNN(kernel_sizes=sizes)


@pytest.mark.parametrize("name", ["rnn-lstm", "rnn-gru", "rnn-one-way", "textcnn"])
def test_export_keeps_length_and_batch_free(name: str) -> None:
    from luban.core.batch import Batch
    from luban.exporters._program import other_sizes, trace

    module = MODELS[name].build(signature()).eval()
    sample = Batch(read(), {})
    program = trace(module, sample)
    for inputs in other_sizes(program, sample):
        torch.testing.assert_close(program.module()(**inputs), module(**inputs))
    short = {key: tensor[:2, :3] for key, tensor in read().items()}
    torch.testing.assert_close(program.module()(**short), module(**short))
