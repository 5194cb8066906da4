"""How text is drawn, as options of the verbs that draw it."""

from __future__ import annotations

import argparse

from luban.inference.sampling import SamplingParams


def sampling_options(
    parser: argparse.ArgumentParser, *, max_tokens: int, temperature: float, top_p: float
) -> None:
    """Add the arguments, with a verb's own defaults."""
    parser.add_argument("--max-tokens", type=int, default=max_tokens, help="of one answer")
    parser.add_argument(
        "--temperature", type=float, default=temperature, help="0: always the likeliest"
    )
    parser.add_argument("--top-k", type=int, default=0, help="0: no bound")
    parser.add_argument("--top-p", type=float, default=top_p)
    parser.add_argument("--min-p", type=float, default=0.0)
    parser.add_argument("--repetition-penalty", type=float, default=1.0)
    parser.add_argument("--stop", action="append", default=[], help="end here; may be repeated")
    parser.add_argument("--seed", type=int, default=None)


def sampling_params(args: argparse.Namespace) -> SamplingParams:
    """Return what the arguments say."""
    return SamplingParams(
        max_tokens=args.max_tokens,
        temperature=args.temperature,
        top_k=args.top_k,
        top_p=args.top_p,
        min_p=args.min_p,
        repetition_penalty=args.repetition_penalty,
        stop=tuple(args.stop),
        seed=args.seed,
    )
