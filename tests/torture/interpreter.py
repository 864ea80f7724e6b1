"""Code that a fresh interpreter runs."""

import json
import subprocess
import sys


def python(code, *arguments, timeout=120, **options):
    """The last line that a fresh interpreter prints for `code`, as JSON."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=True,
        **options,
    )
    return json.loads(done.stdout.splitlines()[-1])
