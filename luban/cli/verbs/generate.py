"""Make something with a trained model: continue a prompt, or draw images of a label."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from luban.cli.console import Terminal
from luban.cli.sampling import sampling_options, sampling_params
from luban.core.errors import RunError
from luban.core.files import write_atomic
from luban.data.images import tiled, to_png
from luban.inference.images import ImageMaker
from luban.inference.text import TextGenerator
from luban.run import Run
from luban.trained import load_trained


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run directory")
    parser.add_argument("--prompt", default="", help="text to continue; - reads standard input")
    sampling_options(parser, max_tokens=256, temperature=1.0, top_p=1.0)
    parser.add_argument("-n", type=int, default=1, help="number of continuations or images")
    parser.add_argument("--label", default="", help="what images are made of (default: anything)")
    parser.add_argument(
        "--output", type=Path, default=Path("images.png"), help="file for images, side by side"
    )


def perform(args: argparse.Namespace) -> int:
    """Print the continuation as it is made, or write the images."""
    run = Run.open(Path(args.target), Terminal())
    task, module = load_trained(run)
    generator = task.generator(module)
    if isinstance(generator, ImageMaker):
        return _draw(generator, args)
    if generator is None:
        raise RunError(
            f"a run of {task.name} continues no prompts and makes no images.",
            where=run.path,
            fix=f"luban predict {run.path}.",
        )
    return _write(generator, args)


def _write(generator: TextGenerator, args: argparse.Namespace) -> int:
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt.replace("\\n", "\n")
    params = sampling_params(args)
    if args.json:
        answers = [asdict(answer) for answer in generator.generate(prompt, params, args.n)]
        print(json.dumps(answers, ensure_ascii=False))
    elif args.n == 1:
        print(prompt, end="")
        for chunk in generator.stream(prompt, params):
            print(chunk.text, end="", flush=True)
        print()
    else:
        for answer in generator.generate(prompt, params, args.n):
            print(f"--- {answer.index + 1} of {args.n} ({answer.finish_reason})")
            print(prompt + answer.text)
    return 0


def _draw(maker: ImageMaker, args: argparse.Namespace) -> int:
    label = maker.label_of(args.label or args.prompt)
    seed = secrets.randbits(32) if args.seed is None else args.seed
    images = list(chain.from_iterable(maker.make(label, max(1, args.n), seed)))
    write_atomic(args.output, to_png(tiled(images)))
    said = {"output": str(args.output), "label": label, "n": len(images), "seed": seed}
    print(json.dumps(said, ensure_ascii=False) if args.json else _words(said))
    return 0


def _words(said: dict[str, object]) -> str:
    of = f" of {said['label']}" if said["label"] else ""
    return f"{said['output']}: {said['n']}{of} (--seed {said['seed']} makes them again)"
