"""issuer.py WORK: an OIDC issuer on a free loopback port, until its parent ends.

`/token?audience=A&job=J` gives a token with these claims that lives for an hour. The address is left in
WORK/issuer.url.
"""

import base64
import http.server
import json
import os
import pathlib
import sys
import threading
import time
import urllib.parse
import uuid

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

# The name under which the benchmark finds it, to leave it out of the gateway's measures.
pathlib.Path("/proc/self/comm").write_text("bench-issuer")
KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
LIFE_SECONDS = 3600


def base64url(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def number(value):
    return base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def token(issuer, audience, job):
    now = int(time.time())
    header = {"alg": "RS256", "typ": "JWT", "kid": "bench"}
    claims = {"iss": issuer, "aud": audience, "sub": "bench", "repository_id": "4242", "job": job,
              "actor_id": "1", "jti": str(uuid.uuid4()), "iat": now, "nbf": now, "exp": now + LIFE_SECONDS}
    signed = ".".join(base64url(json.dumps(part).encode()) for part in (header, claims))
    return f"{signed}.{base64url(KEY.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256()))}"


class Issuer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        issuer = f"http://127.0.0.1:{self.server.server_port}"
        url = urllib.parse.urlsplit(self.path)
        if url.path == "/.well-known/openid-configuration":
            document = {"issuer": issuer, "jwks_uri": f"{issuer}/jwks", "authorization_endpoint": f"{issuer}/none",
                        "response_types_supported": ["id_token"], "subject_types_supported": ["public"],
                        "id_token_signing_alg_values_supported": ["RS256"]}
        elif url.path == "/jwks":
            public = KEY.public_key().public_numbers()
            document = {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": "bench",
                                  "n": number(public.n), "e": number(public.e)}]}
        else:
            query = urllib.parse.parse_qs(url.query)
            document = {"value": token(issuer, query["audience"][0], query["job"][0])}
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def end_with(parent):
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


threading.Thread(target=end_with, args=[os.getppid()], daemon=True).start()
server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
new = pathlib.Path(sys.argv[1]) / "issuer.url.new"
new.write_text(f"http://127.0.0.1:{server.server_port}")
new.rename(new.with_suffix(""))
server.serve_forever()
