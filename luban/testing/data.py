"""The laws of components that stand before a model, and of any component."""

from __future__ import annotations

import copy
import json
import re
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from luban.core import registry
from luban.core.component import Component
from luban.core.contracts import (
    Augmentation,
    AugmentationContext,
    Cleaner,
    Example,
    Record,
    SetApart,
    Source,
    Stage,
    Tally,
    Tokenizer,
)
from luban.data.checks.set_apart import usable
from luban.data.media.media_files import content_of
from luban.testing._law import law, refuses


def check_component(component: Component) -> None:
    """Any component: a named, frozen, strict value that survives a round trip through JSON."""
    base: type[Component] = next(c for c in type(component).__mro__ if "kind" in c.__dict__)
    found = registry.load(base.kind, component.name, base)
    law(found is type(component), component, "its name leads to its class")
    data = component.to_dict()
    again = base.from_dict(json.loads(json.dumps(data)))
    law(again == component, component, "from_dict(to_dict()) is the same component")
    law(again.digest() == component.digest(), component, "equal components, equal digests")
    law(bool(type(component).__doc__), component, "the class has a docstring")
    unknown = refuses(lambda: base.from_dict({**data, "no_such_field": 1}))
    law(unknown, component, "a field that does not exist is refused")
    for field in type(component).model_fields:
        frozen = refuses(partial(setattr, component, field, None))
        law(frozen, component, "a component is frozen")


def check_source(source: Source, rows: int | None = None) -> None:
    """Reading is repeatable, every record says where it came from, and none is lost.

    Args:
        source: The source.
        rows: Records in its files, all splits together, as another way of counting finds them.
    """
    check_component(source)
    law("train" in source.splits(), source, "there is a train split")
    first, second = (list(source.read("train")) for _ in range(2))
    law(len(first) > 0, source, "the train split has records")
    law(same_records(first, second), source, "two readings give the same records")
    law(all(record.get("_where") for record in first), source, "each record has _where")
    for split in source.splits():
        law(next(usable(source.read(split)), None), source, f"the split {split} has records")
    law(all(path.is_file() for path in source.files()), source, "files() lists files that exist")
    if rows is not None:
        read = sum(1 for split in source.splits() for _ in source.read(split))
        law(read == rows, source, "records read and records set apart are all that the files hold")
    apart = [r.error for s in source.splits() for r in source.read(s) if isinstance(r, SetApart)]
    law(all(e.where and e.reason for e in apart), source, "what is set apart says where and why")


def check_augmentation(augmentation: Augmentation, examples: Sequence[Example]) -> None:
    """The dice alone decide, what is stored stays as it is, and fields keep their types.

    Args:
        augmentation: The augmentation.
        examples: At least two that it can change.
    """
    check_component(augmentation)

    def apply(index: int, seed: int) -> Example:
        rng = np.random.default_rng(seed)

        def other() -> Example:
            law(augmentation.mixes, augmentation, "only what mixes asks for another example")
            return examples[int(rng.integers(len(examples)))]

        return augmentation.apply(examples[index], AugmentationContext(rng, other))

    before = copy.deepcopy(list(examples))
    for index, example in enumerate(examples):
        for seed in range(5):
            found, again = apply(index, seed), apply(index, seed)
            law(_equal(found, again), augmentation, "the same dice, the same example")
            kept = found.keys() >= example.keys()
            law(kept, augmentation, "an example keeps its fields")
            name = augmentation.changes
            kind = found[name].dtype.kind == example[name].dtype.kind
            law(kind, augmentation, "numbers stay whole or real")
            most = augmentation.stretch * len(example[name]) + 1
            law(len(found[name]) <= most, augmentation, "nothing grows longer than stretch says")
        law(_equal(example, before[index]), augmentation, "stored arrays are not written to")
    changed = (not _equal(apply(0, seed), examples[0]) for seed in range(50))
    law(any(changed), augmentation, "some dice change something")


def check_cleaner(cleaner: Cleaner, records: Sequence[Record]) -> None:
    """Cleaning is deterministic, leaves its input alone, counts, and is done after one pass."""
    check_component(cleaner)
    before = copy.deepcopy(list(records))
    tallies = [Tally(), Tally()]
    once, again = (list(cleaner.clean(iter(records), tally)) for tally in tallies)
    law(list(records) == before, cleaner, "the records given are not changed in place")
    law(once == again and tallies[0].counts == tallies[1].counts, cleaner, "deterministic")
    changed = len(once) != len(before) or any(r not in before for r in once)
    law(bool(tallies[0].counts) == changed, cleaner, "counts exactly when something changed")
    known = [r.get("_where") for r in before]
    law(all(r.get("_where") in known for r in once), cleaner, "records keep their _where")
    twice = Tally()
    law(list(cleaner.clean(iter(once), twice)) == once, cleaner, "a second pass changes nothing")
    law(not twice.counts, cleaner, "a second pass counts nothing")
    _check_marks(cleaner, [r["text"] for r in before if isinstance(r.get("text"), str)])


def _check_marks(cleaner: Cleaner, texts: Sequence[str]) -> None:
    """Entities and answers stand at the same words after cleaning, or the record is dropped."""
    for row, text in enumerate(texts):
        words = [match.span() for match in re.finditer(r"\S+", text)]
        for start, end in words:
            where = {"_where": f"marks:{row}"}
            place, marked = {"start": start, "end": end, "type": "x"}, text[start:end]
            answer = {"text": marked, "start": start}
            for record in (
                {"text": text, "entities": [place], **where},
                {"context": text, "question": "?", "answers": [answer], **where},
            ):
                tally = Tally()
                found = list(cleaner.clean([record], tally))
                if not found:
                    law(tally.counts, cleaner, "a record that is dropped is counted")
                    continue
                alone = [dict(r) for r in cleaner.clean([{"text": marked, **where}], Tally())]
                if not alone:
                    continue
                if "entities" in found[0]:
                    one, whole = found[0]["entities"][0], found[0]["text"]
                    said = whole[one["start"] : one["end"]]
                else:
                    one, whole = found[0]["answers"][0], found[0]["context"]
                    said = whole[one["start"] :][: len(one["text"])]
                    law(said == one["text"], cleaner, "an answer stands where it is said to")
                law(said == alone[0]["text"], cleaner, "a marked text moves along when cleaned")


def check_tokenizer(
    tokenizer: Tokenizer, texts: Sequence[str], *, unseen: Sequence[str] = ()
) -> None:
    """Round trip of texts, exact byte counts, special tokens apart, the same after saving.

    A tokenizer that is not ``exact`` need not give the text back, nor count its bytes.

    Args:
        tokenizer: The tokenizer, not yet learned.
        texts: What it learns from.
        unseen: Other texts that must survive the round trip too.
    """
    check_component(tokenizer)
    learned, again = tokenizer.learn(texts), tokenizer.learn(iter(texts))
    every = [*texts, *unseen]
    table = learned.token_bytes()
    law(table.shape == (learned.size,), learned, "token_bytes has one entry per id")
    law(0 <= learned.end < learned.size, learned, "the end token is an id")
    law(0 <= learned.pad < learned.size, learned, "the padding token is an id")
    for text in every:
        ids = learned.encode(text)
        law(all(0 <= i < learned.size for i in ids), learned, "ids lie in [0, size)")
        law(learned.end not in ids, learned, "no special token without being asked for")
        read = learned.decode(ids)
        if learned.exact:
            law(read == text, learned, "decode(encode(text)) == text")
            law(int(table[ids].sum()) == len(text.encode()), learned, "token_bytes adds up")
        rest = learned.decode(learned.encode(read))
        law(rest == read, learned, "decoding what was decoded changes nothing")
        law(learned.decode([*ids, learned.end]) == read, learned, "special tokens are no text")
        law(again.encode(text) == ids, learned, "the same texts teach the same vocabulary")
    law(learned.encode_batch(every) == [learned.encode(t) for t in every], learned, "batch == one")
    with tempfile.TemporaryDirectory() as folder:
        learned.save(Path(folder))
        loaded = tokenizer.load(Path(folder))
    same = [loaded.encode(text) == learned.encode(text) for text in every]
    law(all(same) and loaded.size == learned.size, learned, "the same after save and load")
    special = (loaded.end, loaded.pad) == (learned.end, learned.pad)
    law(special, learned, "the same special tokens after save and load")
    law(np.array_equal(loaded.token_bytes(), table), learned, "the same token_bytes after a reload")


def check_stage(stage: Stage) -> None:
    """A stage works with its defaults, and needs stages that exist and come before it."""
    check_component(stage)
    known, seen = registry.names("stages"), [stage.name]
    law(not _needed(type(stage)), stage, "every field has a default")
    waiting = list(stage.needs)
    while waiting:
        need = waiting.pop()
        law(need in known, stage, f"the stage it needs exists: {need}")
        law(need != stage.name, stage, "no stage needs itself, not even through others")
        if need not in seen:
            seen.append(need)
            waiting += Stage.from_dict(need).needs
    law(type(stage).perform.__doc__ and type(stage).measure.__doc__, stage, "both steps are told")


def _needed(component: type[Component]) -> list[str]:
    return [name for name, field in component.model_fields.items() if field.is_required()]


def same_records(a: Sequence[Record], b: Sequence[Record]) -> bool:
    """Whether records hold the same; files are compared by content, what is set apart by why."""
    one, two = (json.dumps(list(map(_plain, rows)), default=content_of) for rows in (a, b))
    return one == two


def _plain(record: Record) -> Any:
    return str(record.error) if isinstance(record, SetApart) else dict(record)


def _equal(a: Example, b: Example) -> bool:
    return a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
