"""What `docker build` sends to the engine: the files that Git knows, or would take up, without those of `.dockerignore`."""

import re
import shutil
import subprocess

from tests.live.service import ROOT


def pattern(line):
    """A line of `.dockerignore` as a regular expression: it means a path, and everything below it."""
    line = line.removeprefix("/").rstrip("/")
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", line)
    signs = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(signs.get(part, re.escape(part)) for part in parts) + "(?:/.*)?")


def rules(text):
    """Its lines: whether each takes files out or back in, and which."""
    lines = (line.strip() for line in text.splitlines())
    lines = [line for line in lines if line and not line.startswith("#")]
    return [(not line.startswith("!"), pattern(line.removeprefix("!"))) for line in lines]


def is_ignored(path, of):
    """The last line that fits decides."""
    return next((ignores for ignores, fits in reversed(of) if fits.fullmatch(path)), False)


def files():
    """The paths of the context."""
    of = rules((ROOT / ".dockerignore").read_text())
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    known = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\0")
    return [path for path in known if path and (ROOT / path).is_file() and not is_ignored(path, of)]


def copy(folder):
    """Puts the context into a folder."""
    for path in files():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / path, target)
