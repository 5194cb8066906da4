"""Instruction tuning: answers alone teach, packed conversations stay apart, ends are learned."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from luban.core.batch import Batch
from luban.core.contracts import Generative, Model, Record, Task
from luban.core.errors import DataError, RecipeError
from luban.data.store import Store, build
from luban.data.text.chat_template_files import CHATML
from luban.data.views.packing import positions_of
from luban.init.recognition import recognise
from luban.models.gpt import GPT
from luban.models.rnn import RNN
from luban.tasks.inputs.conversations import fitted

LAYOUTS = ("qwen3", "llama", "gpt2")


def talk(*said: str) -> list[dict[str, str]]:
    roles = ("user", "assistant") * len(said)
    return [{"role": role, "content": text} for role, text in zip(roles, said, strict=False)]


RECORDS: list[Record] = [
    {"messages": talk("hi", "hello you", "and now?", "nothing"), "_where": "a:1"},
    {"prompt": "what", "completion": "that one", "_where": "a:2"},
    {"instruction": "add", "input": "1 1", "output": "2", "_where": "a:3"},
    {"messages": [{"from": "human", "value": "床前"}, {"from": "gpt", "value": "明月光"}]},
    {"prompt": "a rather long question, is it not?", "completion": "yes"},
]


def task(**fields: Any) -> Any:
    given = {"name": "instruction-tuning", "tokenizer": "char", "context": 200, **fields}
    return Task.from_dict(given).learn(RECORDS)


def gpt(learned: Task, layout: str = "qwen3") -> nn.Module:
    torch.manual_seed(0)
    fields = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = GPT.from_dict({"name": "gpt", **fields, "layout": layout, "initializer_range": 0.2})
    return model.build(learned.signature()).double().eval()


def nats(module: nn.Module, batch: Batch) -> torch.Tensor:
    """Each label's negative log-likelihood in float64, in order."""
    labels = batch.targets["labels"]
    logp: torch.Tensor = module(**batch.inputs).log_softmax(-1)
    kept = labels >= 0
    return -logp[kept].gather(-1, labels[kept][:, None])[:, 0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    more = [{"prompt": f"hi {i % 4}", "completion": "abcdefghij"[i:]} for i in range(10)]
    return build(task(), [*RECORDS * 2, *more * 2], tmp_path / "store")


def spelled(learned: Any, example: Any) -> tuple[str, str]:
    """All of an example as text, and what of it is supervised."""
    ids, said = example["input_ids"], example["answers"] == 1
    decode = learned.tokenizer.fast.decode
    return decode(ids.tolist(), False), decode(ids[said].tolist(), False)


def test_answers_alone_carry_a_loss_each_with_its_end() -> None:
    learned = task()
    whole, said = spelled(learned, learned.encode(RECORDS[0]))
    assert said == "hello you<|im_end|>nothing<|im_end|>"
    assert whole.startswith("<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nhello you")
    found = learned.target_summary(learned.encode(RECORDS[0]))
    assert (found.count, found.ends, found.truncated) == (len("hello younothing"), True, False)
    assert spelled(learned, learned.encode(RECORDS[2]))[0].startswith(
        "<|im_start|>user\nadd\n\n1 1<|im_end|>"
    )
    assert spelled(learned, learned.encode(RECORDS[3]))[1] == "明月光<|im_end|>"
    with_system = task(system="Rhyme.")
    assert spelled(with_system, with_system.encode(RECORDS[1]))[0].startswith(
        "<|im_start|>system\nRhyme.<|im_end|>"
    )


def test_labels_are_the_tokens_that_follow() -> None:
    learned = task()
    example = learned.encode(RECORDS[0])
    batch = learned.collate([example, learned.encode(RECORDS[1])])
    labels = batch.targets["labels"][0]
    said = example["input_ids"][example["answers"] == 1]
    assert labels[labels >= 0].tolist() == said.tolist()
    assert learned.target(example) == {"tokens": len(said), "bytes": len("hello younothing")}
    assert batch.inputs.keys() == {"input_ids"}, "only what transformers takes"


def test_raw_records_have_no_template() -> None:
    raw = Task.from_dict(
        {"name": "instruction-tuning", "tokenizer": "char", "format": "raw", "context": 40}
    ).learn(RECORDS[1:3])
    whole, said = spelled(raw, raw.encode(RECORDS[1]))
    assert (whole, said) == ("whatthat one<|endoftext|>", "that one<|endoftext|>")
    whole, _ = spelled(raw, raw.encode({"prompt": "", "completion": "a"}))
    assert whole == "<|endoftext|>a<|endoftext|>"


END = 99


@pytest.mark.parametrize(
    ("ids", "spans", "expected", "cut"),
    [
        ([1, 2, 3, END], [(2, 4)], ([1, 2, 3, END], [(2, 4)]), False),
        # The last turn goes whole.
        ([1, 2, END, 3, 4, 5, 6, 7, END], [(1, 3), (7, 9)], ([1, 2, END], [(1, 3)]), True),
        # A long answer loses its last tokens but keeps its end.
        ([1, *range(2, 12), END], [(1, 12)], ([1, 2, 3, 4, 5, 6, 7, END], [(1, 8)]), True),
        # A long prompt loses its first tokens; its answer is whole.
        ([*range(20), 50, END], [(20, 22)], ([*range(14, 20), 50, END], [(6, 8)]), False),
        # Both: half for the answer.
        (
            [*range(20), *range(30, 50), END],
            [(20, 41)],
            ([16, 17, 18, 19, 30, 31, 32, END], [(4, 8)]),
            True,
        ),
    ],
)
def test_what_does_not_fit_goes_by_rule(
    ids: list[int], spans: Any, expected: Any, cut: bool
) -> None:
    assert fitted(ids, spans, 8, END) == (*expected, cut)


def test_cut_answers_are_counted_and_end() -> None:
    learned = task(context=40)
    example = learned.encode({"prompt": "why", "completion": "because " * 40})
    assert len(example["input_ids"]) == 40
    found = learned.target_summary(example)
    assert found.truncated
    assert found.ends
    assert example["input_ids"][-1] == learned.signature().end


def test_packing_is_a_function_of_the_epoch_and_holds_everything_once(store: Store) -> None:
    learned = task()
    epochs = [learned.view(store, epoch, 0) for epoch in range(4)]
    assert len({len(view) for view in epochs}) == 1
    assert len(epochs[0]) < len(store) / 2, "several share a window"
    every = sorted(store[i]["input_ids"].tobytes() for i in range(len(store)))
    drawn = []
    for view in epochs:
        held = []
        for window in view:
            assert len(window["input_ids"]) <= 200
            for segment in range(1, window["segment_ids"].max() + 1):
                held.append(window["input_ids"][window["segment_ids"] == segment].tobytes())
        assert sorted(held) == every
        drawn.append(held)
    assert drawn[0] != drawn[1], "what shares a window changes"
    for one, other in zip(learned.view(store, 1, 0), epochs[1], strict=True):
        assert np.array_equal(one["input_ids"], other["input_ids"])
    alone = learned.view(store, None, 0)
    assert len(alone) == len(store)
    assert "segment_ids" not in alone[0]


def test_positions_start_anew() -> None:
    assert positions_of(np.array([1, 1, 1, 2, 3, 3])).tolist() == [0, 1, 2, 0, 0, 1]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_packed_losses_are_those_of_single_conversations(layout: str, store: Store) -> None:
    learned = task()
    module = gpt(learned, layout)
    view = learned.view(store, 0, 0)
    packed = nats(module, learned.collate([view[i] for i in range(len(view))]))
    single = torch.cat([nats(module, learned.collate([store[i]])) for i in range(len(store))])
    torch.testing.assert_close(packed.sort().values, single.sort().values, atol=1e-9, rtol=0)
    assert (packed.sum() - single.sum()).abs() < 1e-6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_neighbour_reaches_a_conversation(layout: str, store: Store) -> None:
    learned = task()
    module = gpt(learned, layout)
    batch = learned.collate([learned.view(store, 0, 0)[0]])
    inputs = dict(batch.inputs)
    segments = inputs["segment_ids"][0]
    assert segments.max() > 2
    mine = segments == 2
    # Logits: whatever the others say, this one's stay as they are.
    others = inputs["input_ids"].clone()
    others[0, ~mine] = (others[0, ~mine] + 1) % learned.tokenizer.size
    before = module(**inputs)[0]
    after = module(**{**inputs, "input_ids": others})[0]
    torch.testing.assert_close(before[mine], after[mine], atol=1e-12, rtol=0)
    assert not torch.allclose(before[~mine], after[~mine])
    # Gradients: its loss has none at another's embeddings.
    embedded: list[torch.Tensor] = []

    def keep(_: Any, __: Any, output: torch.Tensor) -> None:
        output.retain_grad()
        embedded.append(output)

    handle = module.stem.register_forward_hook(keep)  # type: ignore[union-attr]
    module(**inputs)[0][mine].log_softmax(-1).square().sum().backward()
    handle.remove()
    assert embedded[0].grad is not None
    reached = embedded[0].grad[0].abs().sum(-1) > 0
    assert torch.equal(reached, mine)


def test_a_model_that_cannot_keep_them_apart_is_refused(store: Store) -> None:
    learned = task()
    module = RNN(hidden_size=8).build(learned.signature())
    window = learned.collate([learned.view(store, 0, 0)[0]])
    with pytest.raises(RecipeError, match="apart") as caught:
        learned.loss(module, window)
    assert "packing: false" in caught.value.fix
    assert torch.isfinite(learned.loss(module, learned.collate([store[0]])).mean)


@pytest.mark.parametrize(
    ("record", "match"),
    [
        ({"text": "hi"}, "holds no conversation"),
        ({"prompt": "hi"}, "no text 'completion'"),
        ({"prompt": "hi", "completion": 3}, "no text 'completion'"),
        ({"messages": "hi"}, "list of at least one message"),
        ({"messages": []}, "list of at least one message"),
        ({"messages": [{"role": "user"}]}, "message 1"),
        ({"messages": talk("hi")}, "nobody answers"),
    ],
)
def test_bad_records_name_their_row(record: dict[str, Any], match: str) -> None:
    with pytest.raises(DataError, match=match) as caught:
        task().encode({**record, "_where": "rows.jsonl:7"})
    assert "rows.jsonl:7" in str(caught.value.where)


def test_an_empty_answer_teaches_nothing() -> None:
    learned = task()
    assert learned.target_summary(learned.encode({"prompt": "a", "completion": ""})).count == 0


def test_a_template_file(tmp_path: Path) -> None:
    (tmp_path / "own.jinja").write_text(CHATML.replace("im_", "my_"))
    own = task(chat_template=str(tmp_path / "own.jinja"))
    assert "<|my_end|>" in spelled(own, own.encode(RECORDS[1]))[1]
    with pytest.raises(DataError, match="cannot read the chat template"):
        task(chat_template="nowhere.jinja")


def test_the_baseline_counts_answers(store: Store) -> None:
    learned = task()
    said = np.concatenate([store[i]["input_ids"][store[i]["answers"] == 1] for i in range(30)])
    counts = np.bincount(said, minlength=learned.tokenizer.size) + 1.0
    example = store[1]
    own = example["input_ids"][example["answers"] == 1]
    expected = -np.log(counts / counts.sum())[own].sum()
    assert learned.baselines(store)["unigram"](example)["nats"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("sample", "fields"),
    [
        ([{"messages": talk("a", "b")}] * 3, {}),
        (
            [{"conversations": [{"from": "human", "value": "a"}, {"from": "gpt", "value": "b"}]}],
            {"messages": "conversations"},
        ),
        ([{"instruction": "a", "input": "", "output": "b"}], {}),
        ([{"question": "a", "answer": "b"}], {"prompt": "question", "completion": "answer"}),
    ],
)
def test_conversations_are_recognised(sample: list[Record], fields: dict[str, str]) -> None:

    found = recognise("instruction-tuning", sample)
    assert found is not None
    assert found.fields == fields
    assert recognise("instruction-tuning", [{"text": "a"}]) is None
    assert (
        recognise("instruction-tuning", [{"question": "a", "context": "c", "answer": "b"}]) is None
    )


def test_a_pretrained_folder_of_transformers(tmp_path: Path) -> None:
    """Its tokenizer, its chat template and its weights; and transformers reads what comes back."""
    import transformers

    from luban.engine.saved import load_saved, write_saved

    source = task()
    folder = tmp_path / "theirs"
    folder.mkdir()
    source.save(folder)
    config = transformers.Qwen3Config(
        vocab_size=source.tokenizer.size, hidden_size=16, intermediate_size=32, head_dim=8,
        num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=1,
        max_position_embeddings=256, bos_token_id=0, eos_token_id=1, pad_token_id=0,
    )  # fmt: skip
    torch.manual_seed(0)
    hf: Any = transformers.Qwen3ForCausalLM(config)
    hf.eval().save_pretrained(folder)

    learned = task(tokenizer={"name": "pretrained", "path": str(folder)})
    model = Model.from_dict({"name": "gpt", "pretrained": str(folder)}).resolve()
    module = model.build(learned.signature())
    assert model.start(module) == ()
    batch = learned.collate([learned.encode(record) for record in RECORDS])
    with torch.no_grad():
        loss = learned.loss(module.eval(), batch).mean
        theirs = hf(input_ids=batch.inputs["input_ids"]).logits
    expected = nn.functional.cross_entropy(theirs.flatten(0, 1), batch.targets["labels"].flatten())
    assert float(loss) == pytest.approx(float(expected), abs=1e-5)

    (tmp_path / "ours").mkdir()
    write_saved(tmp_path / "ours", learned, model, module)
    again, _, back = load_saved(tmp_path / "ours")
    asked = talk("hi")
    auto: Any = transformers.AutoTokenizer
    tokenizer = auto.from_pretrained(tmp_path / "ours")
    text = tokenizer.apply_chat_template(asked, tokenize=False, add_generation_prompt=True)
    assert isinstance(again, Generative)
    generator = again.generator(back)
    assert generator.chat.render(asked) == text
    special = json.loads((tmp_path / "ours/generation_config.json").read_text())
    ends = tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|endoftext|>"])
    assert special["eos_token_id"] == ends, "what ends an answer here ends it there"
    assert generator.generate(generator.chat.encode(asked))[0].completion_tokens >= 1
