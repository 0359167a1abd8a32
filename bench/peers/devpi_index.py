"""devpi_index.py URL: makes user `bench` and index `bench/dev`; prints the upload headers."""

import base64
import json
import sys
import urllib.request


def call(method, path, document, headers=None):
    headers = {"Content-Type": "application/json", "Accept": "application/json", **(headers or {})}
    body = json.dumps(document).encode()
    request = urllib.request.Request(sys.argv[1] + path, method=method, data=body, headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


call("PUT", "/bench", {"password": "bench-password", "email": "bench@example.invalid"})
session = call("POST", "/+login", {"user": "bench", "password": "bench-password"})["result"]["password"]
auth = {"X-Devpi-Auth": base64.b64encode(f"bench:{session}".encode()).decode()}
call("PUT", "/bench/dev", {"type": "stage", "bases": [], "volatile": False}, auth)
print(json.dumps({"headers": [f"{name}: {value}" for name, value in auth.items()]}))
