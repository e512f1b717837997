"""PEFT's own test suites: fetched for the installed version, run in a process of their own, their outcome counted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import peft

HERE = Path(__file__).parent
SUITES = (
    "test_config",
    "test_custom_models",
    "test_decoder_models",
    "test_encoder_decoder_models",
    "test_feature_extraction_models",
    "test_seq_classifier",
    "test_token_classification_qa",
    "test_torch_compile",
)
# transformers deprecated these after the PEFT releases whose suites (and code) use them; PEFT makes that an error.
DEPRECATED_SINCE = ("is_gradient_checkpointing", "gradient_checkpointing_enable")


@dataclass(frozen=True)
class Outcome:
    """What suites came to: their summary, as the plugin writes it, and their output."""

    suite: str
    summary: dict[str, Any]
    output: str
    code: int


def suites() -> tuple[str, ...]:
    """Those of `SUITES` that the installed version of PEFT has."""
    tests = fetch() / "tests"
    return tuple(suite for suite in SUITES if (tests / f"{suite}.py").exists())


def fetch() -> Path:
    """The source distribution of the installed PEFT, unpacked in the user's cache; downloaded if it is not there.

    Raises:
        RuntimeError: the package index does not give it.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "peft-bottleneck" / "conformance"
    directory = cache / f"peft-{peft.__version__}"
    if directory.exists():
        return directory
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache) as temporary:
        # Not `--no-binary :all:`, which would also build PEFT's build requirements from source.
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        wanted = ["--no-binary", "peft", "--dest", temporary, f"peft=={peft.__version__}"]
        done = subprocess.run([*pip, *wanted], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"PEFT's tests could not be fetched: {' '.join([*pip, *wanted])}\n{done.stderr}")
        (archive,) = Path(temporary).glob("*.tar.gz")
        unpacked = Path(temporary) / "unpacked"
        _unpack(archive, unpacked)
        unpacked.rename(directory)  # at once, so that a run beside this one never sees half of it
    return directory


def _unpack(archive: Path, target: Path) -> None:
    """Writes the tests and `pyproject.toml`, which has their warning filters."""
    with tarfile.open(archive) as tar:
        for member in tar:
            path = Path(*Path(member.name).parts[1:])
            if not member.isfile() or not (path.name == "pyproject.toml" or path.parts[0] == "tests"):
                continue
            file = tar.extractfile(member)
            assert file is not None
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            (target / path).write_bytes(file.read())
    # The tests import one another relatively; the file that makes them a package is not in the distribution.
    (target / "tests" / "__init__.py").touch()


def run(hub: Path, *suites: str, fast: bool = False) -> Outcome:
    """Runs suites in the directory of tiny models, with our methods in the place of PEFT's; `fast`: with few cases."""
    source = fetch()
    with tempfile.TemporaryDirectory() as temporary:
        target = Path(temporary) / "summary.json"
        filters = [f"-Wignore:`{name}` is deprecated:FutureWarning" for name in DEPRECATED_SINCE]
        done = subprocess.run(
            [
                *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "substitution", *filters),
                *("-c", str(source / "pyproject.toml")),
                *("-o", "addopts="),  # theirs ask for a coverage plugin
                *(str(source / "tests" / f"{suite}.py") for suite in suites),
            ],
            cwd=hub,
            env=_environment(target, fast),
            capture_output=True,
            text=True,
        )
        summary = json.loads(target.read_text(encoding="utf-8")) if target.exists() else {}
    return Outcome(", ".join(suites), summary, done.stdout + done.stderr, done.returncode)


def _environment(target: Path, fast: bool) -> dict[str, str]:
    paths = [str(HERE), str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PEFT_DEBUG_WITH_TORCH_COMPILE": "1",
        "OMP_NUM_THREADS": "1",
        "CONFORMANCE_SUMMARY": str(target),
        "CONFORMANCE_FAST": str(int(fast)),
    }
