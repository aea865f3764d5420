"""A host of its own for a client: its folder, its issuer, its callers. All of it ends with the block that it is used in."""

import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import uuid

import jwt
import requests
from cryptography.hazmat.primitives.asymmetric import ec

AUDIENCE = "factory-runtime"
ROLES = ["viewer", "operator", "approver", "administrator"]

# How long anything may take on a machine that has much else to do, in seconds.
PATIENCE = 120


def until(what, happened):
    """What `happened` gives once it gives something."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = happened()
        if found:
            return found
        time.sleep(0.1)
    raise TimeoutError(f"{what} did not happen in {PATIENCE} s")


class Issuer:
    """An OIDC issuer on this machine: its discovery document, its keys, and tokens of it."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        public = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(self.key.public_key()))
        keys = {"keys": [public | {"kid": "1", "alg": "ES256", "use": "sig"}]}
        issuer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                answers = {
                    "/.well-known/openid-configuration": {"issuer": issuer.url, "jwks_uri": f"{issuer.url}/keys"},
                    "/keys": keys,
                }
                body = json.dumps(answers.get(self.path, {})).encode()
                self.send_response(200 if self.path in answers else 404)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def token(self, tenant, subject, roles=ROLES, lasts=3_600):
        """A token that ends after so many seconds; one that has ended where that is less than none."""
        now = int(time.time())
        claims = {
            "iss": self.url, "aud": AUDIENCE, "sub": subject, "tenant": tenant, "roles": roles,
            "iat": now + min(lasts, 0) - 60, "exp": now + lasts,
        }
        return jwt.encode(claims, self.key, algorithm="ES256", headers={"kid": "1"})


class Host:
    """The example host, serving. With an issuer it knows callers by tokens of it; without one it lets in everybody on this machine."""

    def __init__(self, program, issuer=None, desired_state=None, images=(), secrets=(), tenant=None):
        self.program = os.path.abspath(program)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="factory-runtime-"))
        self.settings = {"FOLDER": str(self.folder / "host"), "LISTEN": "127.0.0.1:0"}
        # A client that tries everything asks more often than people do.
        self.settings |= {"REQUESTS_PER_SECOND": "100000"}
        self.tenant = tenant or f"ten_{uuid.uuid4().hex}"
        self.serving = None
        try:
            for arguments in images:
                self.run("pack", *arguments)
            self.secrets = [self.run("secret", name, given=value).strip() for name, value in secrets]
            if issuer:
                self.settings["ISSUERS"] = (
                    f"[{{ url = '{issuer.url}', audience = '{AUDIENCE}', tenant_claim = 'tenant', "
                    "role_claim = 'roles', allow_loopback = true }]"
                )
            if desired_state:
                self.settings["DESIRED_STATE"] = str(desired_state)
            self.start()
        except BaseException:
            self.close()
            raise

    def environment(self):
        ours = {f"FACTORY_RUNTIME__{name}": value for name, value in self.settings.items()}
        return os.environ | ours | {"FACTORY_RUNTIME__TENANT": self.tenant}

    def run(self, *arguments, given=""):
        done = subprocess.run(
            [self.program, *arguments], env=self.environment(), input=given, text=True, capture_output=True
        )
        if done.returncode:
            raise RuntimeError(f"host {' '.join(arguments)}: {done.stderr}")
        return done.stdout

    def start(self):
        said = self.folder / "said"
        with said.open("wb") as output, (self.folder / "log").open("wb") as log:
            self.serving = subprocess.Popen([self.program], env=self.environment(), stdout=output, stderr=log)

        def address():
            if self.serving.poll() is not None:
                raise RuntimeError(f"the host ended: {self.log()}")
            return next((word for word in said.read_text().split() if word.startswith("http://")), None)

        self.address = until("a host that serves", address).rstrip(",")

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def close(self):
        if self.serving:
            self.serving.terminate()
            self.serving.wait()
        # Workloads outlive a host.
        for process in pathlib.Path("/proc").glob("[0-9]*"):
            try:
                its = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                if str(self.folder).encode() in its and int(process.name) != os.getpid():
                    os.kill(int(process.name), signal.SIGKILL)
            except OSError:
                continue
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Caller:
    """Somebody who asks a host for operations by the names that its description gives them."""

    def __init__(self, host, description, token=None):
        self.address = host.address
        self.paths = {
            operation["operationId"]: (method, path)
            for path, methods in description["paths"].items()
            for method, operation in methods.items()
        }
        self.session = requests.Session()
        if token:
            self.session.headers["authorization"] = f"Bearer {token}"

    def ask(self, name, body=None, *, query=None, headers=None, **path):
        """The answer of an operation, whatever it is."""
        method, template = self.paths[name]
        url = self.address + template.format(**path)
        given = {"json": body if body is not None else {}} if method == "post" else {}
        return self.session.request(method, url, params=query, headers=headers, timeout=PATIENCE, **given)
