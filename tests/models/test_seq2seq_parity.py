"""The same logits and the same answers as transformers, both directions, for both layouts."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from luban.core.contracts import Signature
from luban.core.errors import CapacityError, RecipeError
from luban.core.files import write_json
from luban.inference.beam import BeamParams, beam_search
from luban.inference.engine import generate_sequences
from luban.inference.sampling import SamplingParams
from luban.models.seq2seq import Seq2seq
from luban.nn.encoder_decoder import EncoderDecoder

SIGNATURES = Signature("tokens", 61, 61, 40, pad=0, end=1, produces="sequence", start=0)
TWO = Signature("tokens", 61, 47, 40, pad=0, end=1, produces="sequence", start=0)
CASES: dict[str, tuple[dict[str, Any], Signature]] = {
    "pegasus": ({}, SIGNATURES),
    "pegasus-uneven": ({"num_decoder_layers": 1, "hidden_act": "relu"}, SIGNATURES),
    "pegasus-unscaled": ({"scale_embedding": False, "max_position_embeddings": 64}, SIGNATURES),
    "marian": ({"layout": "marian", "hidden_act": "silu"}, SIGNATURES),
    "marian-two": ({"layout": "marian", "share_encoder_decoder_embeddings": False}, TWO),
}


def make(**fields: Any) -> Seq2seq:
    small = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "dropout": 0.0}
    return Seq2seq.from_dict({"name": "seq2seq", **small, **fields})


def built(model: Seq2seq, signature: Signature, seed: int = 0, ends: float = 0.0) -> EncoderDecoder:
    """A module whose every tensor is random; ``ends`` makes the end token likelier."""
    torch.manual_seed(seed)
    module = model.build(signature).eval()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.2)
        module.final_logits_bias.normal_()[0, 1] = ends
    return module


def save(model: Seq2seq, module: torch.nn.Module, signature: Signature, folder: Path) -> None:
    write_json(folder / "config.json", model.hf_config(signature))
    tensors = {k: v.contiguous() for k, v in model.to_hf(module.state_dict()).items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def load_in_transformers(folder: Path) -> Any:
    import transformers

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        auto: Any = transformers.AutoModelForSeq2SeqLM
        hf, info = auto.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    for key in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        assert not info[key], (key, info[key])
    return hf.eval()


def batch(signature: Signature, rows: int = 5) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(7)
    ids = torch.randint(2, signature.inputs, (rows, 9), generator=generator)
    keep = torch.ones_like(ids)
    keep[1, 5:] = 0
    keep[2, 1:] = 0
    written = torch.randint(2, signature.outputs, (rows, 7), generator=generator)
    return {"input_ids": ids, "attention_mask": keep, "decoder_input_ids": written}


@pytest.mark.parametrize("case", CASES)
@torch.no_grad()
def test_both_directions(case: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    fields, signature = CASES[case]
    model, given = make(**fields), batch(signature)
    module = built(model, signature)
    save(model, module, signature, tmp_path)
    with caplog.at_level("WARNING"):
        hf = load_in_transformers(tmp_path)
    assert not caplog.records
    logits = hf(**given).logits
    torch.testing.assert_close(module(**given), logits, atol=1e-4, rtol=0)

    hf.save_pretrained(tmp_path / "theirs", max_shard_size="40KB")
    again = make(**fields).replace(pretrained=str(tmp_path / "theirs")).resolve()
    back = again.build(signature).eval()
    assert again.start(back) == ()
    torch.testing.assert_close(back(**given), logits, atol=1e-4, rtol=0)
    assert again.hf_config(signature) == model.hf_config(signature)


@pytest.mark.parametrize("layout", ["pegasus", "marian"])
@torch.no_grad()
def test_a_checkpoint_of_transformers(layout: str, tmp_path: Path) -> None:
    """One that never went through our own names."""
    import transformers

    torch.manual_seed(2)
    sizes = {f"{half}_{part}": n for half in ("encoder", "decoder") for part, n in
             (("layers", 2), ("ffn_dim", 40), ("attention_heads", 2))}  # fmt: skip
    shared = {"vocab_size": 61, "d_model": 32, "max_position_embeddings": 40, "pad_token_id": 0}
    config, auto = {
        "pegasus": (transformers.PegasusConfig, transformers.PegasusForConditionalGeneration),
        "marian": (transformers.MarianConfig, transformers.MarianMTModel),
    }[layout]
    hf: Any = auto(config(**sizes, **shared))
    hf.eval().save_pretrained(tmp_path)
    model = Seq2seq(pretrained=str(tmp_path)).resolve()
    module = model.build(SIGNATURES).eval()
    model.start(module)
    given = batch(SIGNATURES)
    torch.testing.assert_close(module(**given), hf(**given).logits, atol=1e-4, rtol=0)


@pytest.mark.parametrize("case", CASES)
def test_names_go_there_and_back(case: str) -> None:
    fields, signature = CASES[case]
    model = make(**fields)
    state = model.build(signature).state_dict()
    back = model.from_hf(model.to_hf(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)


@torch.no_grad()
def test_decoding_from_a_cache_gives_the_same_logits() -> None:
    module, given = built(make(), SIGNATURES), batch(SIGNATURES)
    whole, written = module(**given), given["decoder_input_ids"]
    cache = module.read(given, length=7)
    first = module.decode(written[:, :3], cache, counts=[3, 1, 2, 3, 3])
    torch.testing.assert_close(first[0], whole[0, 2], atol=1e-5, rtol=0)
    torch.testing.assert_close(first[1], whole[1, 0], atol=1e-5, rtol=0)
    cache = cache.select([4, 2, 0])  # 0 and 4 have read three tokens, 2 has read two
    following = torch.stack([written[4, 3], written[2, 2], written[0, 3]])
    then = module.decode(following[:, None], cache)
    expected = torch.stack([whole[4, 3], whole[2, 2], whole[0, 3]])
    torch.testing.assert_close(then, expected, atol=1e-5, rtol=0)
    with pytest.raises(CapacityError, match="full"):
        module.decode(written[:3, :5], cache)


def theirs(hf: Any, given: dict[str, Tensor], **fields: Any) -> list[list[int]]:
    """What ``generate`` says, from after the start token up to the first end token."""
    read = {name: given[name] for name in ("input_ids", "attention_mask")}
    found = hf.generate(**read, do_sample=False, **fields)[:, 1:].tolist()
    return [row[: row.index(1) + 1] if 1 in row else row for row in found]


@pytest.mark.parametrize("seed", range(4))
def test_the_answers_of_generate(seed: int, tmp_path: Path) -> None:
    model, given = make(layout=("pegasus", "marian")[seed % 2]), batch(SIGNATURES)
    module = built(model, SIGNATURES, seed, ends=0.8 * seed)
    save(model, module, SIGNATURES, tmp_path)
    hf = load_in_transformers(tmp_path)
    lengths: set[tuple[int, ...]] = set()
    for beams, penalty, size in (
        (1, 1.0, 0), (1, 1.0, 2), (2, 1.0, 0), (3, -1.0, 0), (4, 1.0, 2), (5, 0.0, 0), (5, 2.0, 0)
    ):  # fmt: skip
        shared = {"max_new_tokens": 16, "no_repeat_ngram_size": size}
        memory = module.read(given, 17)
        if beams == 1:
            greedy = SamplingParams(max_tokens=16, temperature=0, no_repeat_ngram_size=size)
            found = generate_sequences(module, [[0]] * 5, [greedy] * 5, 1, memory)
        else:
            shared |= {"num_beams": beams, "length_penalty": penalty}  # type: ignore[dict-item]
            params = BeamParams(end=1, **shared)
            found = beam_search(module, [[0]] * 5, memory, params)
        assert [list(a.tokens) for a in found] == theirs(hf, given, **shared), shared
        lengths.add(tuple(len(answer.tokens) for answer in found))
    if seed == 2:  # some leave the batch before others
        assert any(len(set(each)) > 1 for each in lengths)


@torch.no_grad()
def test_an_answer_knows_its_probability() -> None:
    module, given = built(make(), SIGNATURES, ends=3.0), batch(SIGNATURES)
    params = BeamParams(num_beams=3, max_new_tokens=8, end=1)
    for row, answer in enumerate(beam_search(module, [[0]] * 5, module.read(given, 9), params)):
        one = {name: tensor[row : row + 1] for name, tensor in given.items()}
        one["decoder_input_ids"] = torch.tensor([[0, *answer.tokens[:-1]]])
        logprobs = module(**one)[0].log_softmax(-1)
        chosen = logprobs.gather(-1, torch.tensor(answer.tokens)[:, None]).sum()
        assert answer.logprob == pytest.approx(float(chosen), abs=1e-4)


def test_drawn_answers_depend_on_their_own_seed_alone() -> None:
    module, given = built(make(), SIGNATURES, ends=1.0), batch(SIGNATURES)
    params = [SamplingParams(max_tokens=12, seed=seed) for seed in range(5)]
    together = generate_sequences(module, [[0]] * 5, params, 1, module.read(given, 13))
    for row in range(5):
        one = {name: tensor[row : row + 1] for name, tensor in given.items()}
        (alone,) = generate_sequences(module, [[0]], params[row : row + 1], 1, module.read(one, 13))
        assert alone.tokens == together[row].tokens
    assert len({answer.tokens for answer in together}) > 1


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"model_type": "t5"}, "architecture"),
        ({"encoder_ffn_dim": 8}, "one intermediate_size for both halves"),
        ({"activation_function": "mish"}, "hidden_act"),
        ({"quantization_config": {"bits": 4}}, "quantization_config"),
        ({"tie_word_embeddings": False}, "tie_word_embeddings"),
    ],
)
def test_unknown_features_are_refused_by_name(
    change: dict[str, Any], match: str, tmp_path: Path
) -> None:
    write_json(tmp_path / "config.json", {**make().hf_config(SIGNATURES), **change})
    with pytest.raises(RecipeError, match=match):
        Seq2seq(pretrained=str(tmp_path)).resolve()


def test_what_contradicts_or_does_not_fit_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "config.json", make().hf_config(SIGNATURES))
    with pytest.raises(RecipeError, match="hidden_size contradicts"):
        Seq2seq(pretrained=str(tmp_path), hidden_size=64).resolve()
    with pytest.raises(RecipeError, match="two vocabularies"):
        make().build(TWO)
    with pytest.raises(RecipeError, match="vocabulary is smaller"):
        make(vocab_size=60).build(SIGNATURES)
    with pytest.raises(RecipeError, match="fewer positions"):
        make(max_position_embeddings=39).build(SIGNATURES)
    with pytest.raises(RecipeError, match="pegasus has one embedding"):
        make(share_encoder_decoder_embeddings=False)
    with pytest.raises(RecipeError, match="not made for this task"):
        make().build(Signature("tokens", 61, 61, 40, 0, 1))


def test_half_of_the_positions_meet_either_half() -> None:
    model = make()
    parameters = sum(p.numel() for p in model.build(SIGNATURES).parameters())
    assert model.flops_per_token(SIGNATURES, parameters) == 3.0 * parameters
