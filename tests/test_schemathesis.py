"""Schemathesis over the OpenAPI document, against a real process: nothing undocumented, no 5xx.

It takes every route apart by the document: examples, boundaries of each schema, wrong methods, types
and headers, random data, and sequences of calls. SCHEMATHESIS_EXAMPLES is how many random cases a route
gets in each phase: 15 make some 1,500 cases in all, and each further one some twenty more. Every run
has random numbers of its own.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.process import ROOT, fill, running

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "15")


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_service_is_what_its_document_says(tmp_path: Path) -> None:
    """With all its checks Schemathesis finds no 5xx and no answer that the document does not have."""
    with running(store=fill(tmp_path / "store")) as url:
        found = subprocess.run(
            [
                *(sys.executable, "-m", "schemathesis.cli"),
                *("--config-file", str(ROOT / "tests" / "schemathesis.toml")),
                *("run", f"{url}/openapi.json", "--checks", "all", "--no-color"),
                *("--max-examples", EXAMPLES, "--generation-database", "none"),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
    said = "\n".join(line[:500] for line in (found.stdout + found.stderr).splitlines())
    assert found.returncode == 0, said
    generated = re.search(r"([\d,]+) generated", said)
    assert generated is not None, said
    print(generated[0])  # noqa: T201 - what `pytest -s` shows of a long run
