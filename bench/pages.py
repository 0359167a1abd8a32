"""How long a reviewer waits for the first byte of a release's pages, of a large upgrade and of a small one.

  pages.py FOLDER     FOLDER holds the packages of scripts/tools/large.txt; needs COUNTERSIGN_BIN and COUNTERSIGN_TOOLS

A registry on loopback has the earlier versions; the gateway gets the later ones as `npm publish` sends them, seals and
inspects them; then each page is asked for over and over, by somebody who is signed in. That session is a row of the
database, for a passkey needs a person. Prints a table. Standard library only.
"""

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import pathlib
import secrets
import socket
import sqlite3
import statistics
import sys
import tarfile
import tempfile
import threading
import time
import urllib.request
import uuid

import servers

LARGE = [("next", version) for version in ("15.3.0", "15.4.1")]
SMALL = [("bench-000", version) for version in ("1.0.0", "1.0.1")]
# A file of each whose difference is shown: 1.2 MB of the large one.
SHOWN = {"next": "dist/compiled/next-server/app-page.runtime.dev.js", "bench-000": "index.js"}
GOAL_MS = 150
VIEWS = 40
# Seconds an inspection with its list of files may take, on a machine that does other things too.
INSPECTED = 300


class Package:
    """One version of an npm package."""

    def __init__(self, name, version, archive):
        self.name, self.version, self.archive = name, version, archive
        with tarfile.open(fileobj=io.BytesIO(archive)) as inside:
            self.manifest = json.load(inside.extractfile("package/package.json"))

    def described(self, tarball):
        """Its `package.json` with `dist`, as registries and clients have it."""
        sha512 = base64.b64encode(hashlib.sha512(self.archive).digest()).decode()
        dist = {"integrity": f"sha512-{sha512}", "shasum": hashlib.sha1(self.archive).hexdigest(), "tarball": tarball}
        return self.manifest | {"_id": f"{self.name}@{self.version}", "dist": dist}

    def document(self):
        """What `npm publish` sends."""
        file = f"{self.name}-{self.version}.tgz"
        data = base64.b64encode(self.archive).decode()
        attachment = {"content_type": "application/octet-stream", "data": data, "length": len(self.archive)}
        return {"_id": self.name, "name": self.name, "dist-tags": {"latest": self.version}, "access": "public",
                "versions": {self.version: self.described("x")}, "_attachments": {file: attachment}}


def small(version):
    """A package of three files."""
    manifest = json.dumps({"name": "bench-000", "version": version, "main": "index.js"})
    files = {"package.json": manifest, "README.md": "# A package\n", "index.js": f"exports.version = '{version}'\n"}
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as archive:
        for path, text in files.items():
            entry = tarfile.TarInfo(f"package/{path}")
            entry.size = len(text)
            archive.addfile(entry, io.BytesIO(text.encode()))
    return made.getvalue()


@contextlib.contextmanager
def registry(packages):
    """A registry on loopback that has these versions; gives its address."""
    by_name = {package.name: package for package in packages}

    class Registry(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            name, _, file = self.path.split("?")[0].strip("/").partition("/")
            package = by_name.get(name)
            if package is None:
                self.send_error(404)
                return
            tarball = f"http://127.0.0.1:{self.server.server_port}/{name}/-/{name}-{package.version}.tgz"
            packument = {"name": name, "dist-tags": {"latest": package.version},
                         "versions": {package.version: package.described(tarball)}}
            body = package.archive if file else json.dumps(packument).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/octet-stream" if file else "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


def publish(target, package, header):
    """Uploads a candidate."""
    name, _, value = header.partition(": ")
    body = json.dumps(package.document()).encode()
    url = servers.address(target, target["upload"] + package.name)
    request = urllib.request.Request(url, data=body, method="PUT",
                                     headers={name: value, "Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=INSPECTED).read()


def one(database, statement, *values):
    """The first value of the first row."""
    with contextlib.closing(sqlite3.connect(database, timeout=30)) as connection, connection:
        row = connection.execute(statement, values).fetchone()
    return row[0] if row else None


def wait_until_inspected(database, count):
    """Waits until so many releases have a report and a list of files."""
    until = time.monotonic() + INSPECTED
    while one(database, "select count(*) from file_lists") < count:
        if time.monotonic() > until:
            raise SystemExit("a release was not inspected in time")
        time.sleep(0.2)


def signed_in(database):
    """A cookie of the one person there is."""
    token = secrets.token_urlsafe(32)
    now = time.time_ns() // 1000
    person = one(database, "select id from people")
    one(database, "insert into sessions (token_hash, person_id, id, opened_with, browser, reads_only, csrf, created_at,"
        " expires_at, seen_at) values (?, ?, ?, 'bench', 'bench', 0, 'bench', ?, ?, ?)",
        hashlib.sha256(token.encode()).digest(), person, secrets.token_bytes(16), now, now + 3_600_000_000, now)
    return f"countersign={token}"


def first_byte(port, path, cookie):
    """Milliseconds from the connection to the first byte of the answer, to its last, and its length."""
    request = f"GET {path} HTTP/1.1\r\nHost: localhost:{port}\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
    begun = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(request.encode())
        answer = connection.recv(1 << 16)
        first = time.monotonic()
        length, status = len(answer), answer[:12]
        while more := connection.recv(1 << 16):
            length += len(more)
    if status != b"HTTP/1.1 200":
        raise SystemExit(f"{path} answered {status}")
    return (first - begun) * 1e3, (time.monotonic() - begun) * 1e3, length


def pages(target, release, package, cookie):
    """Rows of the table about one release."""
    files = f"/releases/{release}/files"
    shown = f"{files}/{package.name}-{package.version}.tgz/diff?path={SHOWN[package.name]}"
    paths = {"release": f"/releases/{release}", "its files": files, "one file's difference": shown}
    for name, path in paths.items():
        views = [first_byte(target["port"], path, cookie) for _ in range(VIEWS)]
        firsts, wholes, lengths = zip(*views)
        yield name, statistics.median(firsts), max(firsts), statistics.median(wholes), lengths[0]


def main():
    """Measures and prints."""
    folder = pathlib.Path(sys.argv[1])
    large = [Package(name, version, (folder / f"{name}-{version}.tgz").read_bytes()) for name, version in LARGE]
    little = [Package(name, version, small(version)) for name, version in SMALL]
    target = servers.targets()["gateway-npm"]
    with tempfile.TemporaryDirectory() as name, registry([large[0], little[0]]) as url:
        os.environ["BENCH_REGISTRY"] = url
        with servers.fresh(pathlib.Path(name) / "work") as work, servers.running(target, work):
            headers = servers.prepared(target, work)["headers_by_package"]
            for package in (little[1], large[1]):
                publish(target, package, headers[package.name])
            database = next(work.rglob("*.db"))
            wait_until_inspected(database, 2)
            cookie = signed_in(database)
            print(f"| page, {VIEWS} views | first byte ms, median | worst | last byte ms, median | KB |")
            print("|---|---|---|---|---|")
            met = True
            for package in (large[1], little[1]):
                release = one(database, "select lower(hex(r.id)) from releases r join packages p on p.id = r.package_id"
                              " where p.name = ?", package.name)
                release = str(uuid.UUID(release))
                of = f"{package.name} {package.version}"
                for page, median, worst, whole, length in pages(target, release, package, cookie):
                    print(f"| {of}: {page} | {median:.1f} | {worst:.1f} | {whole:.1f} | {length / 1e3:.0f} |")
                    met &= worst <= GOAL_MS or page != "release"
    print(f"\ngoal of at most {GOAL_MS} ms to the release page's first byte: {'met' if met else 'NOT met'}")


main()
