"""Known vulnerabilities of the pinned packages: fails on one, says plainly where none could be looked up.

    python .ci/audit.py        # exit code 0 also where there is no advisory database to ask

pip-audit is installed into a throw-away environment, so that it never changes the one in use.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

PINNED = Path(__file__).parents[1] / "constraints.txt"
SKIPPED = "audit SKIPPED, nothing was checked:"


def main() -> int:
    """Print the verdict; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = Path(folder) / "bin" / "python"
        install = [python, "-m", "pip", "install", "--quiet", "pip-audit"]
        if subprocess.run(install, capture_output=True, check=False).returncode:
            print(SKIPPED, "pip-audit cannot be installed here.")
            return 0
        audit = [python, "-m", "pip_audit", "--requirement", PINNED, "--no-deps", "--disable-pip"]
        options = ["--format", "json", "--progress-spinner", "off", "--timeout", "20"]
        done = subprocess.run([*audit, *options], capture_output=True, text=True, check=False)
    code, said = verdict(done.stdout)
    print(said)
    return code


def verdict(report: str) -> tuple[int, str]:
    """Exit code and text for pip-audit's JSON; packages that it could not look up count as unchecked."""
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
    except (ValueError, KeyError):
        return 0, f"{SKIPPED} the advisory database could not be reached."
    unchecked = [p["name"] for p in packages if "skip_reason" in p]
    checked = [p for p in packages if "skip_reason" not in p]
    found = [(p, v) for p in checked for v in p["vulns"]]
    if found:
        lines = [
            f"{p['name']} {p['version']}: {v['id']}, mended in {', '.join(v['fix_versions']) or 'none'}"
            for p, v in found
        ]
        return 1, "\n".join(["VULNERABLE:", *lines])
    if not checked:
        return 0, f"{SKIPPED} the advisory database knows none of {len(packages)} packages."
    rest = f"; not known to the database: {', '.join(unchecked)}" if unchecked else ""
    return 0, f"no known vulnerability in {len(checked)} of {len(packages)} packages{rest}"


if __name__ == "__main__":
    sys.exit(main())
