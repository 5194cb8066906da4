"""One folder of sample files for all contract tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.contracts.makers import write_samples


@pytest.fixture(scope="session")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder)
    return folder
