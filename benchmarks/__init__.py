"""One file per question: ``python -m benchmarks.<question>``; results go to ``benchmarks/out``."""
