#!/usr/bin/env python3
"""Record the fixtures of `leasehold-vault` from a real OpenBao server.

    LEASEHOLD_SERVER_BIN=/path/to/bao python3 crates/vault/tests/record.py [STORY..]

Each story becomes a folder below `fixtures/`, each call of it a file `NN-what.json` with what was sent and what
came back. Tokens, secret ids, passwords and values are replaced by texts with `canary` in them, so that the tests
can look for them; accessors, leases, times and ids by texts that stay the same from one recording to the next.

Needs PostgreSQL's server programs (Debian: `apt-get install postgresql`) and, since PostgreSQL refuses to run as
root, the right to become its user.
"""

import contextlib
import glob
import itertools
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

FIXTURES = pathlib.Path(__file__).parent / "fixtures"
ROOT = "root-of-the-recorder"
SECRET_KEYS = {"client_token", "token", "secret_id", "role_id", "password", "id"}
PUBLIC_KEYS = {"accessor", "wrapped_accessor", "secret_id_accessor", "username"}
MOUNT_ACCESSOR = r"\b([a-z_]+)_[0-9a-f]{8}\b"
STEADY = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", "2026-01-02T03:04:05.678Z"),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "00000000-0000-0000-0000-000000000000"),
    (r'("(creation_time|server_time_utc)": )\d+', r"\g<1>1767323045"),
    (r'("id": )"\w{6}"', r'\1"abc123"'),
    (r"vault-cluster-[0-9a-f]+", "vault-cluster"),
    (MOUNT_ACCESSOR, r"\1_00000000"),
    (r'("(ttl|lease_duration)": )(\d+)', lambda match: f"{match[1]}{-(-int(match[3]) // 10) * 10}"),
]


def free_port():
    """Find a port of the loopback address that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(what, is_there):
    """Ask again until it is there, for at most 20 seconds."""
    for _ in range(400):
        if is_there():
            return
        time.sleep(0.05)
    raise TimeoutError(what)


class Server:
    """A server that keeps everything in memory: a development server, or one that nobody has set up yet."""

    def __init__(self, folder, is_blank):
        self.port = free_port()
        address = f"127.0.0.1:{self.port}"
        arguments = ["-dev", "-dev-no-store-token", f"-dev-root-token-id={ROOT}", f"-dev-listen-address={address}"]
        if is_blank:
            config = pathlib.Path(folder, "blank.hcl")
            listener = f'listener "tcp" {{\n  address = "{address}"\n  tls_disable = true\n}}\n'
            config.write_text('storage "inmem" {}\n' + listener)
            arguments = [f"-config={config}"]
        self.process = subprocess.Popen(
            [os.environ["LEASEHOLD_SERVER_BIN"], "server", *arguments],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for("the server", self.is_up)

    def is_up(self):
        """Tell whether it answers."""
        with contextlib.suppress(OSError):
            return self.ask("GET", "sys/seal-status")["status"] == 200
        return False

    def ask(self, method, path, body=None, token=ROOT, namespace=None, wrap=None, patch=False):
        """Make one call and return the reply with its body as text."""
        headers = {"X-Vault-Request": "true", "X-Vault-Token": token, "X-Vault-Namespace": namespace}
        headers["X-Vault-Wrap-TTL"] = wrap
        headers["Content-Type"] = "application/merge-patch+json" if patch else "application/json"
        query = ("&" if "?" in path else "?") + "list=true" if method == "LIST" else ""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/v1/{path}{query}",
            method="GET" if method == "LIST" else method,
            headers={name: value for name, value in headers.items() if value},
            data=None if body is None else json.dumps(body).encode(),
        )
        try:
            with urllib.request.urlopen(request) as answer:
                status, waits, text = answer.status, answer.headers["Retry-After"], answer.read()
        except urllib.error.HTTPError as error:
            status, waits, text = error.code, error.headers["Retry-After"], error.read()
        return {"status": status, "retry_after": int(waits) if waits else None, "text": text.decode()}

    def must(self, *arguments, **options):
        """Make a call that is no part of the story, and return its JSON."""
        reply = self.ask(*arguments, **options)
        assert reply["status"] < 300, (arguments, reply)
        return json.loads(reply["text"] or "{}")

    def stop(self):
        """End the server."""
        self.process.terminate()
        self.process.wait()


class Story:
    """A folder of fixtures in the making."""

    def __init__(self, name, server):
        self.folder = FIXTURES / name
        self.server = server
        self.count = itertools.count(1)
        self.stand_ins = {}
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)

    def tell(self, what, method, path, body=None, **options):
        """Make a call, write it down, and return the JSON of the reply."""
        reply = self.server.ask(method, path, body, **options)
        try:
            answer = json.loads(reply["text"] or "null")
        except ValueError:
            answer = None
        for part in (body, answer, options):
            self.notice(part)
        token = options.get("token", ROOT)
        call = {"method": method, "path": path, "body": body, "namespace": options.get("namespace")}
        call["token"] = None if token == ROOT else token or "nobody"
        shown = {"status": reply["status"], "retry_after": reply["retry_after"]}
        shown |= {"body": answer} if answer is not None else {"text": reply["text"]}
        call, shown = ({name: value for name, value in part.items() if value is not None} for part in (call, shown))
        text = self.masked(json.dumps({"call": call, "reply": shown}, indent=2, ensure_ascii=False, sort_keys=True))
        (self.folder / f"{next(self.count):02}-{what}.json").write_text(text + "\n")
        return answer

    def notice(self, value, key=None):
        """Find what must be masked, at any depth."""
        if isinstance(value, dict):
            for name, inner in value.items():
                self.notice(inner, name)
        elif isinstance(value, list):
            for inner in value:
                self.notice(inner)
        elif isinstance(value, str) and value and "canary" not in value:
            self.stand_in(key, value)

    def stand_in(self, key, value):
        """Choose what stands in for a value, by the key it was found under."""
        number = len(self.stand_ins) + 1
        if key in SECRET_KEYS and len(value) > 15:
            prefix = value[:2] if value[1] == "." else ""
            self.stand_ins.setdefault(value, f"{prefix}canary{number:02}")
        elif key in PUBLIC_KEYS and len(value) > 15 and not re.fullmatch(MOUNT_ACCESSOR, value):
            self.stand_ins.setdefault(value, f"{key}{number:02}")
        elif key == "lease_id" and "/" in value:
            self.stand_ins.setdefault(value.rpartition("/")[2], f"lease{number:02}")

    def masked(self, text):
        """Replace what was noticed and what differs from run to run."""
        for value, stand_in in self.stand_ins.items():
            text = text.replace(value, stand_in)
        for pattern, steady in STEADY:
            text = re.sub(pattern, steady, text)
        assert ROOT not in text, text
        return text


def login_approle(server, story):
    """A login by role id and secret id, the latter also wrapped."""
    server.must("POST", "sys/auth/approle", {"type": "approle"})
    server.must("POST", "auth/approle/role/app", {"token_ttl": "1h", "token_max_ttl": "4h"})
    role_id = story.tell("role-id", "GET", "auth/approle/role/app/role-id")["data"]["role_id"]
    path = "auth/approle/role/app/secret-id"
    secret_id = story.tell("secret-id", "POST", path, {})["data"]["secret_id"]
    credentials = {"role_id": role_id, "secret_id": secret_id}
    auth = story.tell("login", "POST", "auth/approle/login", credentials, token=None)["auth"]
    story.tell("lookup-self", "GET", "auth/token/lookup-self", token=auth["client_token"])
    wrapped = story.tell("wrapped-secret-id", "POST", path, {}, wrap="60s")["wrap_info"]["token"]
    story.tell("origin", "POST", "sys/wrapping/lookup", {"token": wrapped}, token=None)
    story.tell("unwrap", "POST", "sys/wrapping/unwrap", token=wrapped)


def login_userpass(server, story):
    """A login by name and password."""
    server.must("POST", "sys/auth/userpass", {"type": "userpass"})
    password = {"password": "canary-password"}
    server.must("POST", "auth/userpass/users/ann", password | {"token_policies": "default"})
    story.tell("login", "POST", "auth/userpass/login/ann", password, token=None)


def login_refused(server, story):
    """What a server says of wrong logins."""
    server.must("POST", "sys/auth/approle", {"type": "approle"})
    server.must("POST", "sys/auth/userpass", {"type": "userpass"})
    server.must("POST", "auth/userpass/users/ann", {"password": "canary-right"})
    credentials = {"role_id": "canary-role", "secret_id": "canary-secret"}
    story.tell("wrong-role", "POST", "auth/approle/login", credentials, token=None)
    story.tell("no-secret-id", "POST", "auth/approle/login", {"role_id": "canary-role"}, token=None)
    story.tell("no-role-id", "POST", "auth/approle/login", {}, token=None)
    wrong = {"password": "canary-wrong"}
    story.tell("wrong-password", "POST", "auth/userpass/login/ann", wrong, token=None)
    for _ in range(5):
        server.ask("POST", "auth/userpass/login/ann", wrong, token=None)
    story.tell("locked-out", "POST", "auth/userpass/login/ann", {"password": "canary-right"}, token=None)
    story.tell("no-such-mount", "POST", "auth/nowhere/login", credentials, token=None)


def token_life(server, story):
    """A token from its making to its end."""
    wish = {"ttl": "3600s", "policies": ["default"], "display_name": "story", "meta": {"agent": "research"}}
    auth = story.tell("create", "POST", "auth/token/create", wish)["auth"]
    token, accessor = auth["client_token"], {"accessor": auth["accessor"]}
    story.tell("lookup-self", "GET", "auth/token/lookup-self", token=token)
    story.tell("lookup-accessor", "POST", "auth/token/lookup-accessor", accessor)
    story.tell("renew-self", "POST", "auth/token/renew-self", {"increment": "7200s"}, token=token)
    story.tell("renew-accessor", "POST", "auth/token/renew-accessor", accessor | {"increment": "60s"})
    story.tell("revoke-self", "POST", "auth/token/revoke-self", {}, token=token)
    story.tell("lookup-dead-self", "GET", "auth/token/lookup-self", token=token)
    story.tell("lookup-dead", "POST", "auth/token/lookup", {"token": token})
    story.tell("lookup-dead-accessor", "POST", "auth/token/lookup-accessor", accessor)
    story.tell("renew-dead", "POST", "auth/token/renew", {"token": token})
    story.tell("revoke-dead", "POST", "auth/token/revoke", {"token": token})
    story.tell("revoke-dead-accessor", "POST", "auth/token/revoke-accessor", accessor)


def token_kinds(server, story):
    """The kinds of token, and what each refuses."""
    server.must("POST", "auth/token/roles/agent", {"token_type": "service", "orphan": True})
    story.tell("root", "GET", "auth/token/lookup-self")
    story.tell("renew-root", "POST", "auth/token/renew-self", {})
    base = {"policies": ["default"]}
    path = "auth/token/create"
    batch = story.tell("create-batch", "POST", path, base | {"ttl": "60s", "type": "batch"})["auth"]["client_token"]
    story.tell("lookup-batch", "POST", "auth/token/lookup", {"token": batch})
    story.tell("renew-batch", "POST", "auth/token/renew", {"token": batch})
    story.tell("revoke-batch", "POST", "auth/token/revoke", {"token": batch})
    periodic = story.tell("create-periodic", "POST", path, base | {"period": "300s"})["auth"]["client_token"]
    story.tell("lookup-periodic", "POST", "auth/token/lookup", {"token": periodic})
    story.tell("renew-periodic", "POST", "auth/token/renew", {"token": periodic, "increment": "3600s"})
    used = story.tell("create-limited", "POST", path, base | {"num_uses": 2})["auth"]["client_token"]
    for what in ("first-use", "last-use", "used-up"):
        story.tell(what, "GET", "auth/token/lookup-self", token=used)
    orphan = story.tell("create-orphan", "POST", "auth/token/create-orphan", base)["auth"]["client_token"]
    story.tell("lookup-orphan", "POST", "auth/token/lookup", {"token": orphan})
    story.tell("create-by-role", "POST", "auth/token/create/agent", base)
    wish = base | {"ttl": "60s", "explicit_max_ttl": "90s"}
    capped = story.tell("create-capped", "POST", path, wish)["auth"]["client_token"]
    story.tell("renew-capped", "POST", "auth/token/renew", {"token": capped, "increment": "3600s"})
    fixed = story.tell("create-fixed", "POST", path, base | {"ttl": "60s", "renewable": False})["auth"]
    story.tell("renew-fixed", "POST", "auth/token/renew", {"token": fixed["client_token"]})
    story.tell("revoke-orphan", "POST", "auth/token/revoke-orphan", {"token": orphan})


def kv2_story(server, story):
    """A secret with versions, and all that can be missing."""
    story.tell("mount", "GET", "sys/internal/ui/mounts/secret/db")
    story.tell("never-written", "GET", "secret/data/db")
    story.tell("list-nothing", "LIST", "secret/metadata")
    first = {"options": {"cas": 0}, "data": {"password": "canary-one", "user": "canary-app"}}
    story.tell("write", "POST", "secret/data/db", first)
    story.tell("write-outdated", "POST", "secret/data/db", first)
    story.tell("read", "GET", "secret/data/db")
    patch = {"data": {"password": "canary-two"}}
    story.tell("patch", "PATCH", "secret/data/db", patch, patch=True)
    story.tell("read-patched", "GET", "secret/data/db")
    story.tell("read-version", "GET", "secret/data/db?version=1")
    story.tell("read-no-version", "GET", "secret/data/db?version=9")
    mixed = {"n": 17, "yes": True, "none": None, "odd": "canary \"\\\n\u00e9\U0001f600", "o": {"a": [1, "canary"]}}
    server.must("POST", "secret/data/app/mixed", {"data": mixed})
    story.tell("read-mixed", "GET", "secret/data/app/mixed")
    story.tell("list", "LIST", "secret/metadata")
    story.tell("unversioned-path", "GET", "secret/db")
    story.tell("write-metadata", "POST", "secret/metadata/db", {"max_versions": 5, "custom_metadata": {"team": "a"}})
    story.tell("delete", "DELETE", "secret/data/db")
    story.tell("read-deleted", "GET", "secret/data/db")
    story.tell("patch-deleted", "PATCH", "secret/data/db", patch, patch=True)
    story.tell("undelete", "POST", "secret/undelete/db", {"versions": [2]})
    story.tell("read-undeleted", "GET", "secret/data/db")
    story.tell("delete-versions", "POST", "secret/delete/db", {"versions": [1]})
    story.tell("destroy", "POST", "secret/destroy/db", {"versions": [2]})
    story.tell("read-destroyed", "GET", "secret/data/db")
    story.tell("metadata", "GET", "secret/metadata/db")
    story.tell("delete-metadata", "DELETE", "secret/metadata/db")
    server.must("POST", "secret/metadata/strict", {"cas_required": True})
    story.tell("write-blindly", "POST", "secret/data/strict", {"data": {"a": "canary"}})


def kv1_story(server, story):
    """A secret without versions."""
    story.tell("enable", "POST", "sys/mounts/old/kv", {"type": "kv", "options": {"version": "1"}})
    story.tell("enable-again", "POST", "sys/mounts/old/kv", {"type": "kv"})
    story.tell("mount", "GET", "sys/internal/ui/mounts/old/kv/db")
    story.tell("write", "POST", "old/kv/db", {"password": "canary-one", "ttl": "300s"})
    story.tell("read", "GET", "old/kv/db")
    story.tell("list", "LIST", "old/kv")
    story.tell("delete", "DELETE", "old/kv/db")
    story.tell("delete-again", "DELETE", "old/kv/db")
    story.tell("read-deleted", "GET", "old/kv/db")
    story.tell("disable", "DELETE", "sys/mounts/old/kv")


def wrapping_story(server, story):
    """Answers that wait behind a token."""
    wish = {"ttl": "60s", "policies": ["default"]}
    first = story.tell("wrap-token", "POST", "auth/token/create", wish, wrap="60s")["wrap_info"]["token"]
    story.tell("origin", "POST", "sys/wrapping/lookup", {"token": first}, token=None)
    second = story.tell("rewrap", "POST", "sys/wrapping/rewrap", {"token": first})["wrap_info"]["token"]
    story.tell("origin-of-old", "POST", "sys/wrapping/lookup", {"token": first}, token=None)
    story.tell("unwrap-token", "POST", "sys/wrapping/unwrap", token=second)
    story.tell("unwrap-again", "POST", "sys/wrapping/unwrap", token=second)
    third = story.tell("wrap-fields", "POST", "sys/wrapping/wrap", {"a": "canary-a"}, wrap="60s")
    story.tell("unwrap-fields", "POST", "sys/wrapping/unwrap", token=third["wrap_info"]["token"])


@contextlib.contextmanager
def postgres():
    """Run PostgreSQL in a folder of its own, and yield its port."""
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"))
    assert programs, "PostgreSQL is missing: apt-get install postgresql"
    port = free_port()
    become = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    with tempfile.TemporaryDirectory() as folder:
        shutil.chown(folder, "postgres") if become else None
        data = f"{folder}/data"
        run = [*become, f"{programs[-1]}/pg_ctl", "-D", data, "-s", "-w"]
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        subprocess.run([*become, f"{programs[-1]}/initdb", "-D", data, "-U", "postgres", "-A", "trust"], **quiet)
        subprocess.run([*run, "-o", f"-p {port} -h 127.0.0.1 -k {folder}", "start"], **quiet)
        try:
            yield port
        finally:
            subprocess.run([*run, "-m", "immediate", "stop"], **quiet)


def lease_story(server, story):
    """A dynamic secret of a real database and its lease."""
    with postgres() as port:
        server.must("POST", "sys/mounts/database", {"type": "database"})
        url = f"postgresql://{{{{username}}}}:{{{{password}}}}@127.0.0.1:{port}/postgres?sslmode=disable"
        connection = {"plugin_name": "postgresql-database-plugin", "allowed_roles": "*", "connection_url": url}
        connection |= {"username": "postgres", "password": "unused"}
        server.must("POST", "database/config/pg", connection)
        create = "CREATE ROLE \"{{name}}\" LOGIN PASSWORD '{{password}}' VALID UNTIL '{{expiration}}'"
        role = {"db_name": "pg", "creation_statements": [create], "default_ttl": "600s", "max_ttl": "900s"}
        server.must("POST", "database/roles/app", role)
        lease_calls(server, story)


def lease_calls(server, story):
    """The life of one lease."""
    story.tell("mount", "GET", "sys/internal/ui/mounts/database/creds/app")
    lease = {"lease_id": story.tell("read", "GET", "database/creds/app")["lease_id"]}
    story.tell("lookup", "POST", "sys/leases/lookup", lease)
    story.tell("renew", "POST", "sys/leases/renew", lease | {"increment": 60})
    story.tell("renew-capped", "POST", "sys/leases/renew", lease | {"increment": 3600})
    story.tell("list", "LIST", "sys/leases/lookup/database/creds/app")
    story.tell("revoke", "POST", "sys/leases/revoke", lease | {"sync": True})
    story.tell("lookup-dead", "POST", "sys/leases/lookup", lease)
    story.tell("renew-dead", "POST", "sys/leases/renew", lease)
    story.tell("revoke-dead", "POST", "sys/leases/revoke", lease | {"sync": True})
    story.tell("revoke-prefix", "POST", "sys/leases/revoke-prefix/database/creds/app", {"sync": True})
    story.tell("revoke-force", "POST", "sys/leases/revoke-force/database/creds/app")
    story.tell("list-nothing", "LIST", "sys/leases/lookup/database/creds/app")
    story.tell("no-such-role", "GET", "database/creds/nobody")


def policies(server, story):
    """ACL policies."""
    text = 'path "secret/data/db" { capabilities = ["read"] }'
    story.tell("write", "POST", "sys/policies/acl/app", {"policy": text})
    story.tell("read", "GET", "sys/policies/acl/app")
    story.tell("list", "LIST", "sys/policies/acl")
    story.tell("write-nonsense", "POST", "sys/policies/acl/app", {"policy": "path {"})
    story.tell("delete", "DELETE", "sys/policies/acl/app")
    story.tell("read-deleted", "GET", "sys/policies/acl/app")


def denied(server, story):
    """The forms of 403."""
    token = server.must("POST", "auth/token/create", {"policies": ["default"]})["auth"]["client_token"]
    story.tell("read", "GET", "secret/data/db", token=token)
    story.tell("list", "LIST", "secret/metadata", token=token)
    story.tell("write", "POST", "secret/data/db", {"data": {"a": "canary"}}, token=token)
    story.tell("create-orphan", "POST", "auth/token/create-orphan", {}, token=token)
    story.tell("mount", "GET", "sys/internal/ui/mounts/secret/db", token=token)
    story.tell("dead-token", "GET", "secret/data/db", token="s.nobody")
    story.tell("no-such-mount", "GET", "nowhere/db")
    story.tell("no-such-path", "GET", "sys/nowhere")


def throttled(server, story):
    """A rate limit, with and without a word on how long to wait."""
    server.must("POST", "sys/quotas/rate-limit/story", {"rate": 1, "interval": "600s", "path": "secret/"})
    server.ask("GET", "secret/data/db")
    story.tell("mute", "GET", "secret/data/db")
    server.must("POST", "sys/quotas/config", {"enable_rate_limit_response_headers": True})
    story.tell("with-delay", "GET", "secret/data/db")


def namespaces(server, story):
    """Namespaces, and a locked one."""
    story.tell("list-nothing", "LIST", "sys/namespaces")
    story.tell("create", "POST", "sys/namespaces/team1")
    story.tell("list", "LIST", "sys/namespaces")
    story.tell("enable", "POST", "sys/mounts/kv", {"type": "kv", "options": {"version": "2"}}, namespace="team1")
    story.tell("mounts", "GET", "sys/mounts", namespace="team1")
    story.tell("mount-from-above", "GET", "sys/internal/ui/mounts/team1/kv/db")
    story.tell("write", "POST", "kv/data/db", {"data": {"a": "canary"}}, namespace="team1")
    story.tell("read", "GET", "kv/data/db", namespace="team1")
    story.tell("read-elsewhere", "GET", "kv/data/db")
    story.tell("read-nowhere", "GET", "kv/data/db", namespace="team2")
    story.tell("health-inside", "GET", "sys/health", namespace="team1")
    key = server.must("POST", "sys/namespaces/api-lock/lock/team1")["data"]["unlock_key"]
    story.tell("read-locked", "GET", "kv/data/db", namespace="team1")
    server.must("POST", "sys/namespaces/api-lock/unlock/team1", {"unlock_key": key})
    story.tell("delete", "DELETE", "sys/namespaces/team1")


def states(server, story):
    """A server open and sealed."""
    story.tell("open-health", "GET", "sys/health", token=None)
    story.tell("open-seal-status", "GET", "sys/seal-status", token=None)
    story.tell("open-leader", "GET", "sys/leader")
    story.tell("login-methods", "GET", "sys/auth")
    server.must("PUT", "sys/seal")
    story.tell("sealed-health", "GET", "sys/health", token=None)
    story.tell("sealed-seal-status", "GET", "sys/seal-status", token=None)
    story.tell("sealed-read", "GET", "secret/data/db")
    story.tell("sealed-lookup", "GET", "auth/token/lookup-self")


def blank(server, story):
    """A server that nobody has set up yet."""
    story.tell("health", "GET", "sys/health", token=None)
    story.tell("seal-status", "GET", "sys/seal-status", token=None)
    story.tell("read", "GET", "secret/data/db")


STORIES = [
    login_approle,
    login_userpass,
    login_refused,
    token_life,
    token_kinds,
    kv2_story,
    kv1_story,
    wrapping_story,
    lease_story,
    policies,
    denied,
    throttled,
    namespaces,
    states,
    blank,
]


def main(wanted):
    """Record the stories that are wanted, or all."""
    for story in STORIES:
        name = story.__name__.replace("_", "-")
        if wanted and name not in wanted:
            continue
        with tempfile.TemporaryDirectory() as folder:
            server = Server(folder, is_blank=story is blank)
            try:
                story(server, Story(name, server))
            finally:
                server.stop()
        print(name)


if __name__ == "__main__":
    main(sys.argv[1:])
