"""Fuzzes a running host by the description that it serves, as two tenants, as somebody whose token has expired, and as somebody without one.

    tests/clients/run fuzz.py PROGRAM      PROGRAM is the built example `host`

First a story reaches every operation with a good answer; then schemathesis asks for all of them, with what the story made. It fails on a
server error, an undocumented status, an answer that is not of its schema or media type or header, a request that is not of its schema and is
accepted, a method that is not refused, credentials that are not looked at, and on any word of another
tenant. FACTORY_RUNTIME_FUZZ is how many requests are made up for each operation and caller; with it, everything that follows from a schema
is tried as well, and what follows from one answer to the next request. FACTORY_RUNTIME_FUZZ_SEED is printed, and tells it again.
"""

import json
import os
import pathlib
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
import uuid

import requests

from host import Caller, Host, Issuer
from story import Story, images

HERE = pathlib.Path(__file__).parent
EXAMPLES = os.environ.get("FACTORY_RUNTIME_FUZZ")


def planted(story):
    """What only this tenant knows of."""
    known = {identifier for identifiers in story.ids.values() for identifier in identifiers}
    # Others may have it, too: it is made up by the caller.
    return sorted({it for it in known if not it.startswith("prj_")} | {story.word})


class Fuzzer:
    """Schemathesis, asking as one caller."""

    def __init__(self, name, host, folder, token, ids, foreign, lets_in, number):
        self.name, self.folder = name, folder / name
        self.folder.mkdir()
        seed = {"ids": ids, "foreign": foreign, "lets_in": lets_in, "number": number}
        (self.folder / "seed.json").write_text(json.dumps(seed))
        arguments = [
            str(pathlib.Path(sys.executable).with_name("st")), "--config-file", str(HERE / "schemathesis.toml"),
            "run", f"{host.address}/openapi.json", "--no-color", "--checks", "all", "--seed", str(number),
            "--continue-on-failure", "--generation-database", "none", "--warnings", "off",
            "--max-examples", EXAMPLES or ("3" if lets_in else "1"),
            # Its phase `coverage` makes headers of letters and digits only, whatever their pattern says, and takes them for valid.
            "--phases", "fuzzing,stateful" if EXAMPLES else "fuzzing",
        ]
        if token:
            arguments += ["--header", f"Authorization: Bearer {token}"]
        environment = os.environ | {
            "SCHEMATHESIS_HOOKS": str(HERE / "hooks.py"),
            "FACTORY_RUNTIME_SEED": str(self.folder / "seed.json"), "FACTORY_RUNTIME_SEEN": str(self.folder / "seen.json"),
        }
        self.began = time.monotonic()
        with (self.folder / "told").open("wb") as told:
            self.process = subprocess.Popen(arguments, cwd=self.folder, env=environment, stdout=told, stderr=told)

    def ended(self):
        code, told = self.process.wait(), (self.folder / "told").read_text()
        seen = json.loads((self.folder / "seen.json").read_text())
        good = {name.split()[0] for name in seen if name.split()[1].startswith("2")}
        print(
            f"{self.name}: {sum(seen.values())} requests in {time.monotonic() - self.began:.0f} s, "
            f"{len(good)} operations carried out, statuses {statuses(seen)}",
            flush=True,
        )
        if code:
            print(told)
        return code == 0


def statuses(seen):
    counts = {}
    for name, count in seen.items():
        status = name.split()[1]
        counts[status] = counts.get(status, 0) + count
    return dict(sorted(counts.items()))


def main(program):
    # The short form asks the same every time, so that it fails by what was changed.
    number = int(os.environ.get("FACTORY_RUNTIME_FUZZ_SEED", random.randrange(1 << 32) if EXAMPLES else 1))
    print(f"FACTORY_RUNTIME_FUZZ_SEED={number}", flush=True)
    issuer, tenants = Issuer(), [f"ten_{uuid.uuid4().hex}" for _ in range(2)]
    with tempfile.TemporaryDirectory() as text:
        folder = pathlib.Path(text)
        desired = folder / "desired"
        for tenant in tenants:
            (desired / tenant / "hello").mkdir(parents=True)
        secrets = [("local://demo/greeting", "correct horse")]
        with Host(program, issuer, desired, images(program, folder), secrets, tenants[0]) as host:
            description = requests.get(f"{host.address}/openapi.json", timeout=60).json()
            began = time.monotonic()
            told = []
            for tenant, word in zip(tenants, ("alphaword", "betaword")):
                people = [Caller(host, description, issuer.token(tenant, name)) for name in ("ann", "bob")]
                told.append(Story(*people, description, word))
            ours, theirs = told
            ours.tell(host.secrets[0], desired / tenants[0] / "hello", host.folder / "host" / "environments")
            theirs.environment("own", "dev")
            unreached = ours.unreached()
            print(f"the story: {len(ours.reached)} operations, {len(ours.previewed)} of them previewed, "
                  f"in {time.monotonic() - began:.0f} s; not reached: {unreached}", flush=True)
            own = {name: sorted(ids) for name, ids in ours.ids.items()}
            both = {name: sorted(ids | theirs.ids.get(name, set())) for name, ids in ours.ids.items()}
            callers = [
                ("tenant-a", issuer.token(tenants[0], "ann"), own, planted(theirs), True),
                ("tenant-b", issuer.token(tenants[1], "ann"), both, planted(ours), True),
                ("expired", issuer.token(tenants[0], "ann", lasts=-3_600), own, planted(ours) + planted(theirs), False),
                ("nobody", None, own, planted(ours) + planted(theirs), False),
            ]
            fuzzers = [
                Fuzzer(name, host, folder, token, ids, foreign, lets_in, number)
                for name, token, ids, foreign, lets_in in callers
            ]
            try:
                good = [fuzzer.ended() for fuzzer in fuzzers]
            finally:
                for fuzzer in fuzzers:
                    fuzzer.process.kill()
            faults = re.findall(r".*(?:ERROR|panicked).*", host.log())
            print("\n".join(faults[:20]))
            is_ready = requests.get(f"{host.address}/readyz", timeout=60).status_code == 200
            held = all(good) and is_ready and not unreached and not faults
            print(f"{'held' if held else 'FAILED'}: ready {is_ready}, faults in the log {len(faults)}", flush=True)
            return 0 if held else 1


if __name__ == "__main__":
    # Whoever ends this ends the host with it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.exit(main(sys.argv[1]))
