"""Makes signing.json: signed requests by Python's standard library alone, which shares no code with ours.

    python3 signing.py > signing.json

`body_signature` is the base64 of HMAC-SHA256(token, body); `everything_signature` the same of six lines and the body.
Bodies are in base64, since JSON holds no bytes. `url` is what a client asks for whose request has that `path`, where the
two are written otherwise.
"""

import base64
import hashlib
import hmac
import json

IDS = ["6f1c2a9e-0b7d-4e57-9a3c-5d2f8b1e7c40", "00000000-0000-4000-8000-000000000000"]

# Token, agent, time, method, path with query, body.
REQUESTS = [
    ("s3cr3t", "agent-1", 1800000000, "POST", "/api/v1/commands", b'{"command":"restart"}'),
    ("s3cr3t", "agent-1", 1800000000, "GET", "/api/v1/commands?wait=30", b""),
    ("s3cr3t", "agent-1", 0, "GET", "/", b""),
    ("t", "a", 999999999999, "PUT", "/x", b"\x00"),
    ("hvs.CAESIJ3nQ4yW8fQ0x5cQm9h2Zr7uT1vK6pL0sD3aE8bN4xGh4KHGh2cy5", "status_panel/eu-1", 1800000001,
     "DELETE", "/a%20b/c;d=1?q=%0A", bytes(range(256))),
    ("64 bytes, which is one block of the hash; more of them are hashed", "agent-2", 1800000002, "PATCH",
     "/", b"x" * 63),
    ("k" * 64, "agent-2", 1800000002, "PATCH", "/", b"x" * 64),
    ("k" * 65, "agent-2", 1800000002, "PATCH", "/", b"x" * 65),
    ("tökén ☃", "agent-3", 1800000003, "POST", "/", "Grüße, 世界".encode()),
    ("s3cr3t", "agent-4", 1800000004, "POST", "/upload", b"0123456789abcdef" * 1000),
    # The end of one path and the beginning of the other body: told apart by their line feed.
    ("s3cr3t", "agent-5", 1800000005, "POST", "/ab", b"c"),
    ("s3cr3t", "agent-5", 1800000005, "POST", "/a", b"bc"),
    ("s3cr3t", "agent-6", 1800000006, "POST", "/?wait=30", b"{}"),
]

# What a client may ask for, and the path that it then sends.
URLS = {"/?wait=30": "http://peer.example?wait=30"}


def signature(token, message):
    return base64.b64encode(hmac.new(token.encode(), message, hashlib.sha256).digest()).decode()


def vector(number, token, agent, timestamp, method, path, body):
    request_id = IDS[number % len(IDS)]
    lines = ["leasehold-request-2", agent, str(timestamp), request_id, method, path]
    head = "".join(line + "\n" for line in lines).encode()
    url = {"url": URLS[path]} if path in URLS else {}
    return {
        "token": token,
        "agent": agent,
        "timestamp": timestamp,
        "request_id": request_id,
        "method": method,
        "path": path,
        **url,
        "body": base64.b64encode(body).decode(),
        "body_signature": signature(token, body),
        "everything_signature": signature(token, head + body),
    }


if __name__ == "__main__":
    vectors = [vector(number, *request) for number, request in enumerate(REQUESTS)]
    print(json.dumps(vectors, indent=2, ensure_ascii=False))
