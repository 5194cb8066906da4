"""Write the model card from the reports alone."""

from __future__ import annotations

import hashlib
from typing import ClassVar

from luban.card import render
from luban.core.contracts import Stage
from luban.core.report import Claim, Report
from luban.run import Run


class Card(Stage):
    """README.md of the run."""

    needs: ClassVar[tuple[str, ...]] = ("evaluate",)
    always: ClassVar[bool] = True
    final: ClassVar[bool] = True

    def perform(self, run: Run) -> None:
        """Render and write the card."""
        run.write_text("README.md", render(run))

    def measure(self, run: Run) -> Report:
        """Compare the card with what the reports say now."""
        path = run.path / "README.md"
        text = path.read_text(encoding="utf-8") if path.is_file() else ""
        digest = hashlib.sha256(text.encode()).hexdigest()
        return Report(
            "card",
            {
                "matches the reports": Claim(text == render(run)),
                "sha256 of README.md": Claim(digest[:16], note="first 16 digits"),
            },
        )
