"""Make something with a trained model: continue a prompt as a stream of text, or draw images."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path

from luban.cli.sampling import sampling_options, sampling_params
from luban.cli.terminal import terminal
from luban.core.contracts import Generative
from luban.core.errors import RequestError, RunError
from luban.inference.images import ImageMaker
from luban.inference.sampling import SamplingParams
from luban.inference.text import TextGenerator
from luban.prediction.image_files import files_for, write_images
from luban.run import Run
from luban.trained import load_trained

#: How text is drawn where nothing is said of it.
_PLAIN = SamplingParams(max_tokens=256, temperature=1.0, top_p=1.0)


def options(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    parser.add_argument("target", metavar="RUN", help="a run directory")
    parser.add_argument(
        "--prompt",
        "--label",
        default="",
        help="text to continue (- reads standard input), or what images are made of",
    )
    sampling_options(
        parser,
        max_tokens=_PLAIN.max_tokens,
        temperature=_PLAIN.temperature,
        top_p=_PLAIN.top_p,
    )
    parser.add_argument("-n", type=int, default=1, help="number of continuations or images")
    parser.add_argument("--output", type=Path, help="where images go: NAME.png, or a folder")
    parser.add_argument("--force", action="store_true", help="write over images that are there")


def perform(args: argparse.Namespace) -> int:
    """Print the continuation as it is made, or write images."""
    run = Run.open(Path(args.target), terminal())
    task, module = load_trained(run)
    generator = task.generator(module) if isinstance(task, Generative) else None
    if isinstance(generator, ImageMaker):
        return _draw(generator, run, args)
    if generator is None:
        raise RunError(
            f"a run of {task.name} continues no prompts.",
            where=run.path,
            fix=f"luban predict {run.path} --text TEXT.",
        )
    if args.output is not None:
        raise RequestError(
            "text goes to standard output.", where="--output", fix=f"> {args.output} instead."
        )
    return _write(generator, args)


def _write(generator: TextGenerator, args: argparse.Namespace) -> int:
    prompt = sys.stdin.read() if args.prompt == "-" else args.prompt.replace("\\n", "\n")
    params = sampling_params(args)
    if args.json:
        answers = [asdict(answer) for answer in generator.generate(prompt, params, args.n)]
        print(json.dumps(answers, ensure_ascii=False))
    elif args.n == 1:
        terminal().rest()  # the text shows by itself that it goes on
        print(prompt, end="")
        for chunk in generator.stream(prompt, params):
            print(chunk.text, end="", flush=True)
        print()
    else:
        for answer in generator.generate(prompt, params, args.n):
            print(f"--- {answer.index + 1} of {args.n} ({answer.finish_reason})")
            print(prompt + answer.text)
    return 0


def _draw(maker: ImageMaker, run: Run, args: argparse.Namespace) -> int:
    if replace(sampling_params(args), seed=None) != _PLAIN:
        raise RequestError(
            "this is how text is drawn, and this run makes images.", fix="leave all but --seed out."
        )
    if args.output is None:
        raise RequestError("it is not said where images go.", fix="--output NAME.png, or a folder.")
    if args.n < 1:
        raise RequestError("there is nothing to make.", where="-n", expected="1 or more")
    label = maker.label_of(args.prompt)
    seed = secrets.randbits(31) if args.seed is None else args.seed
    files = files_for(args.output, args.n, force=args.force)  # before there is work to lose
    write_images(files, list(chain.from_iterable(maker.make(label, args.n, seed))))
    if args.json:
        said = {"label": label, "seed": seed, "files": [str(file) for file in files]}
        print(json.dumps(said, ensure_ascii=False))
    else:
        run.say(f"{args.n} of {label or 'anything'}, seed {seed}: {args.output}")
    return 0
