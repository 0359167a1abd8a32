"""configure.py WORK PORT: writes countersign.toml and setup.toml for a benchmark installation into WORK.

The registry for npm is BENCH_REGISTRY; without one nothing listens there, since nobody approves and nothing is forwarded.
"""

import os
import pathlib
import sys

PACKAGES = 256
NOWHERE = "http://127.0.0.1:9/"
work, port = pathlib.Path(sys.argv[1]), int(sys.argv[2])
issuer = (work / "issuer.url").read_text()

(work / "countersign.toml").write_text(f"""\
origin = "http://localhost:{port}"
audience = "localhost"

[[listen]]
address = "127.0.0.1:{port}"

[limits]
npm_tarball_mib = 512
upload_session_minutes = 60
quiet_seconds = 3600
""")

setup = [f"""\
[[issuer]]
name = "ci"
preset = "generic"
url = "{issuer}"
allow_private = true

[[person]]
name = "Bench Owner"
role = "owner"

[[bot]]
issuer = "ci"
actor_id = "1"

[[upstream]]
name = "npm"
kind = "npm"
url = "{os.environ.get("BENCH_REGISTRY", NOWHERE)}"
allow_private = true

[[upstream]]
name = "pypi"
kind = "pypi"
url = "{NOWHERE}"
simple_url = "{NOWHERE}simple/"
allow_private = true

[[policy]]
name = "One person"
required = 1
people = ["Bench Owner"]
"""]
# One publisher for each kind: a publisher names at most 500 packages.
for kind in ("npm", "pypi"):
    names = [f"bench-{number:03}" for number in range(PACKAGES)] + ["next"] * (kind == "npm")
    for name in names:
        setup.append(f"""\
[[package]]
ecosystem = "{kind}"
name = "{name}"
upstream = "{kind}"
policy = "One person"
""")
    packages = ", ".join(f'"{kind}:{name}"' for name in names)
    setup.append(f"""\
[[publisher]]
name = "Bench {kind}"
issuer = "ci"
packages = [{packages}]
[publisher.claims]
repository_id = "4242"
job = "{kind}"
""")
(work / "setup.toml").write_text("\n".join(setup))
