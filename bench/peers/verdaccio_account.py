"""verdaccio_account.py URL: makes user `bench`; prints the upload headers."""

import json
import sys
import urllib.request

user = {"_id": "org.couchdb.user:bench", "name": "bench", "password": "bench-password", "type": "user", "roles": []}
request = urllib.request.Request(f"{sys.argv[1]}/-/user/org.couchdb.user:bench", data=json.dumps(user).encode(),
                                 method="PUT", headers={"Content-Type": "application/json"})
with urllib.request.urlopen(request, timeout=30) as answer:
    token = json.load(answer)["token"]
print(json.dumps({"headers": [f"Authorization: Bearer {token}"]}))
