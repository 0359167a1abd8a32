"""tokens.py npm|pypi WORK: exchanges CI tokens as clients do; prints the upload headers.

npm exchanges once for each package, Python clients once for a run.
"""

import base64
import json
import pathlib
import sys
import urllib.request

kind, work = sys.argv[1], pathlib.Path(sys.argv[2])
config = (work / "countersign.toml").read_text()
origin = config.split('origin = "')[1].split('"')[0].replace("localhost", "127.0.0.1")
issuer = (work / "issuer.url").read_text()


def call(url, body=None, headers=None):
    request = urllib.request.Request(url, data=body, headers=headers or {})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def ci_token(audience):
    return call(f"{issuer}/token?audience={audience}&job={kind}")["value"]


if kind == "pypi":
    body = json.dumps({"token": ci_token("localhost")}).encode()
    minted = call(f"{origin}/_/oidc/mint-token", body, {"Content-Type": "application/json"})["token"]
    basic = base64.b64encode(f"__token__:{minted}".encode()).decode()
    print(json.dumps({"headers": [f"Authorization: Basic {basic}"]}))
else:
    exchange = f"{origin}/-/npm/v1/oidc/token/exchange/package"
    bearer = {"Authorization": f"Bearer {ci_token('npm:localhost')}"}
    names = [f"bench-{number:03}" for number in range(256)] + ["next"]
    tokens = {name: call(f"{exchange}/{name}", b"", bearer)["token"] for name in names}
    print(json.dumps({"headers_by_package": {name: f"Authorization: Bearer {t}" for name, t in tokens.items()}}))
