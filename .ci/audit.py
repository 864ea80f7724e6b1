"""Known vulnerabilities of the pinned packages: fails on one, says plainly where none could be looked up.

    python .ci/audit.py    # 0 also where there is no advisory database to ask; 2 where the audit failed

pip-audit is installed into a throw-away environment, so that it never changes the one in use.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tempfile
import venv
from pathlib import Path
from typing import Any

PINNED = Path(__file__).parents[1] / "dagame" / "constraints.txt"
SECONDS = 600
OFFLINE = re.compile(
    r"(?i)connection ?(error|refused|reset|aborted|broken)|ConnectTimeout|timed? ?out|max retries"
    r"|name resolution|name or service not known|network is unreachable|ProxyError"
    r"|(could not|failed to) connect"
)
"""What requests and pip-audit say where no server answers."""
SKIPPED = "audit SKIPPED, nothing was checked:"


def main() -> int:
    """Print the verdict; the exit code."""
    with tempfile.TemporaryDirectory() as folder:
        venv.create(folder, with_pip=True)
        python = str(Path(folder) / "bin" / "python")
        code, _, errors = run([python, "-m", "pip", "install", "--quiet", "pip-audit"])
        if code:
            print(SKIPPED, f"pip-audit cannot be installed here ({last_line(errors)}).")
            return 0
        audit = [python, "-m", "pip_audit", "--requirement", str(PINNED), "--no-deps"]
        options = ["--disable-pip", "--format", "json", "--progress-spinner", "off"]
        code, said = verdict(*run([*audit, *options, "--timeout", "20"]))
    print(said)
    return code


def run(command: list[str]) -> tuple[int, str, str]:
    """Exit code, standard output and standard error; 124 where it did not end in time."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=SECONDS)
    except subprocess.TimeoutExpired:
        return 124, "", f"read timed out: no end within {SECONDS} s"
    return done.returncode, done.stdout, done.stderr


def last_line(errors: str) -> str:
    """The last line that is not empty."""
    return next((line.strip() for line in reversed(errors.splitlines()) if line.strip()), "silent")


def verdict(code: int, report: str, errors: str) -> tuple[int, str]:
    """Exit code and text for what pip-audit answered; packages that it could not look up are unchecked.

    2 where it failed otherwise than for want of a connection: then nothing is known.
    """
    try:
        packages: list[dict[str, Any]] = json.loads(report)["dependencies"]
        unchecked = [p["name"] for p in packages if "skip_reason" in p]
        checked = [p for p in packages if "skip_reason" not in p]
        found = [
            f"{p['name']} {p['version']}: {v['id']}, mended in {', '.join(v['fix_versions']) or 'none'}"
            for p in checked
            for v in p["vulns"]
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        if code and OFFLINE.search(errors):
            return 0, f"{SKIPPED} the advisory database could not be reached."
        return 2, f"audit FAILED, nothing was checked: {last_line(errors)}"
    if found:
        return 1, "\n".join(["VULNERABLE:", *found])
    if code:
        return 2, f"audit FAILED with code {code}: {last_line(errors)}"
    if not checked:
        return 0, f"{SKIPPED} the advisory database knows none of {len(packages)} packages."
    rest = f"; not known to the database: {', '.join(unchecked)}" if unchecked else ""
    return 0, f"no known vulnerability in {len(checked)} of {len(packages)} packages{rest}"


if __name__ == "__main__":
    sys.exit(main())
