"""What the scripts of this folder say of the checkout that they run in."""

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def commit():
    """The commit, as an entry of what a script found; and whether there are changes that were not committed."""

    def git(*words):
        return subprocess.run(["git", *words], cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()

    is_changed = bool(git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!PROOF.md"))
    return {"commit": git("rev-parse", "--short=12", "HEAD") + (" and changes that were not committed" if is_changed else "")}
