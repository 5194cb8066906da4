"""What is exported for each thing a model may be asked to give: masks, pairs, two sequences."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from luban.core.batch import Batch
from luban.core.contracts import Exporter, Model, Product, Signature
from luban.exporters.huggingface import Huggingface
from luban.exporters.onnx import Onnx
from luban.exporters.torch_export import TorchExport
from luban.tasks.parts.exports import Spans
from tests.exporters.test_exporters import reload_program, run_onnx
from tests.life import done

VOCABULARY, CLASSES, LENGTH = 23, 3, 32
SMALL = {"hidden_size": 16, "num_hidden_layers": 2}
BERT = {"name": "bert", "num_attention_heads": 2, "initializer_range": 0.3, **SMALL}
SEQ2SEQ = {"name": "seq2seq", "num_attention_heads": 2, "max_position_embeddings": LENGTH, **SMALL}
#: (model, what it gives, what transformers calls it)
CASES: dict[str, tuple[dict[str, Any], str, str]] = {
    "bert-label": (BERT, "label", "BertForSequenceClassification"),
    "bert-tags": (BERT, "tags", "BertForTokenClassification"),
    "bert-tokens": (BERT, "tokens", "BertForMaskedLM"),
    "bert-span": (BERT, "span", "BertForQuestionAnswering"),
    "bert-mean": ({**BERT, "pooling": "mean"}, "label", ""),
    "pegasus": (SEQ2SEQ, "sequence", "PegasusForConditionalGeneration"),
    "marian": ({**SEQ2SEQ, "layout": "marian"}, "sequence", "MarianMTModel"),
}


def signature(produces: str) -> Signature:
    outputs = {"label": CLASSES, "tags": CLASSES, "span": 2}.get(produces, VOCABULARY)
    return Signature(
        "tokens", VOCABULARY, outputs, LENGTH, 0, 1, produces, start=2, mask=3, segments=2
    )  # fmt: skip


def batch(produces: str, rows: int = 4, length: int = 12, answer: int = 8) -> Batch:
    generator = torch.manual_seed(0)
    ids = torch.randint(4, VOCABULARY, (rows, length), generator=generator)
    mask = (
        torch.arange(length) < length - torch.arange(rows)[:, None].clamp(max=length - 1)
    ).long()
    inputs: dict[str, Tensor] = {"input_ids": ids * mask, "attention_mask": mask}
    if produces == "sequence":
        inputs["decoder_input_ids"] = torch.randint(
            4, VOCABULARY, (rows, answer), generator=generator
        )
    else:
        inputs["token_type_ids"] = (torch.arange(length) >= length // 2).long() * mask
    return Batch(inputs, {})


def make(name: str) -> tuple[Model, nn.Module, Signature]:
    config, produces, _ = CASES[name]
    torch.manual_seed(1)
    model: Model = Model.from_dict(config)
    return model, model.build(signature(produces)).eval(), signature(produces)


def product(module: nn.Module, asked: Signature, sample: Batch) -> Product:
    if asked.produces == "span":
        return Product(Spans(module), sample, ("start_logits", "end_logits"))
    return Product(module, sample)


PROGRAMS: list[tuple[Exporter, Any, str]] = [
    *((TorchExport(), reload_program, name) for name in ("bert-label", "bert-mean", "pegasus")),
    *((Onnx(), run_onnx, name) for name in ("bert-label", "bert-span", "pegasus")),
]


@pytest.mark.parametrize(
    ("exporter", "read", "name"), PROGRAMS, ids=[f"{p[0].name}-{p[2]}" for p in PROGRAMS]
)
def test_a_program_agrees_at_other_sizes(
    tmp_path: Path, exporter: Exporter, read: Any, name: str
) -> None:
    _, module, asked = make(name)
    report = exporter.write(
        product(module, asked, batch(asked.produces)), tmp_path, tmp_path / "out"
    )
    free = str(report.claims[f"{exporter.name}/free axes"].value)
    assert "input_ids[0], input_ids[1], attention_mask[0], attention_mask[1]" in free
    for sizes in ((1, 3, 1), (7, 5, 9), (2, LENGTH, 4)):
        inputs = dict(batch(asked.produces, *sizes).inputs)
        with torch.no_grad():
            expected = module(**inputs)
        if asked.produces == "span":
            expected = expected[..., 0]
        got = read(tmp_path / "out", inputs).detach()
        np.testing.assert_allclose(got, expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("name", CASES)
def test_transformers_computes_the_same(tmp_path: Path, name: str) -> None:
    model, module, asked = make(name)
    config = model.hf_config(asked)
    architecture = CASES[name][2]
    assert config.get("architectures", [""]) == [architecture]
    if not architecture:
        return
    folder = tmp_path / "model"
    folder.mkdir()
    tensors = {key: t.clone() for key, t in model.to_hf(module.state_dict()).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    sample = batch(asked.produces)
    report = Huggingface().write(product(module, asked, sample), folder, tmp_path / "out")
    assert report.claims["huggingface/architecture"].value == architecture
    with torch.no_grad():
        assert report.claims["huggingface/largest difference"].n == module(**sample.inputs).numel()


def test_the_default_is_a_format_that_works(my_life: Path) -> None:
    """transformers' where it has the model, a program where it has not."""
    assert "export huggingface/architecture" in _claims("tiny.yaml", "name=other")
    claims = _claims("tiny.yaml", "name=recurrent", "model={name: rnn, hidden_size: 8}")
    assert "export torch-export/largest difference" in claims
    assert Path("runs/recurrent/export/torch-export/model.pt2").is_file()
    assert done("verify", "runs/recurrent", "--stage", "export", "--json").code == 0


def _claims(*arguments: str) -> list[str]:
    reports = done("export", *arguments, "train.max_steps=2", "--json").json
    return [f"export {name}" for name in reports["export"]["claims"]]
