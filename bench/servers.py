"""Starts and ends the servers of targets.toml, and loads them."""

import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import subprocess
import sys
import time
import tomllib
import urllib.error
import urllib.request

from processes import end

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("BENCH_BIN", HERE / "rust/target/release"))
# Seconds: for a server to become ready, for it to end, for what is done before a load, for a load to warm up.
READY, END, PREPARE, WARM = 60, 8, 120, 120


def targets():
    """What targets.toml lists, each with its name."""
    listed = tomllib.loads((HERE / "targets.toml").read_text())
    return {name: target | {"name": name} for name, target in listed.items()}


@contextlib.contextmanager
def fresh(work):
    """An empty folder, removed afterwards."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


@contextlib.contextmanager
def running(target, work):
    """The target's process, ready to be loaded; ended afterwards. Its output goes beside the folder."""
    command = shlex.split(fill(target["start"], target, work))
    with open(work.parent / f"{target['name']}.log", "ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            wait_until_ready(target, process)
            yield process
        finally:
            for how in (signal.SIGTERM, signal.SIGKILL):
                end(process.pid, how)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(END)


def fill(text, target, work):
    values = {"work": work, "port": target["port"], "here": HERE, "bin": BIN, "python": sys.executable}
    return text.format_map(values)


def address(target, path):
    return f"http://127.0.0.1:{target['port']}{path}"


def wait_until_ready(target, process):
    until = time.monotonic() + READY
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{target['name']} ended at start, see its log")
        try:
            urllib.request.urlopen(address(target, target["ready"]), timeout=2).read()
            return
        except urllib.error.HTTPError as answer:
            if answer.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.05)
    raise RuntimeError(f"{target['name']} was not ready in {READY} s")


def prepared(target, work):
    """What `prepare` printed: the headers of uploads. Nothing when the target takes anybody's."""
    if "prepare" not in target:
        return {}
    command = shlex.split(fill(target["prepare"], target, work))
    output = subprocess.run(command, capture_output=True, text=True, timeout=PREPARE, check=False)
    if output.returncode:
        raise RuntimeError(f"prepare failed: {output.stderr[-300:]}")
    return json.loads(output.stdout.strip().splitlines()[-1])


class Load:
    """loadgen, warmed up and waiting for `go`."""

    def __init__(self, target, headers, folder, name, **options):
        ready = folder / f"{name}.ready"
        self.started = ready.with_suffix(".ready.go")
        for file in (ready, self.started):
            file.unlink(missing_ok=True)
        command = [BIN / "loadgen", "--proto", target["proto"], "--url", address(target, target["upload"]),
                   "--ready", ready, *credentials(headers, folder)]
        for option, value in options.items():
            command += ["--" + option.replace("_", "-"), value]
        self.client = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                       text=True)
        until = time.monotonic() + WARM
        while not ready.exists() and self.client.poll() is None and time.monotonic() < until:
            time.sleep(0.01)

    def go(self):
        self.started.touch()
        return self

    def stop(self):
        """Ends it; nobody wants to know what it measured."""
        self.client.kill()
        self.client.communicate()

    def result(self):
        """What it measured, when it is through."""
        output, complaint = self.client.communicate()
        if self.client.returncode:
            raise RuntimeError(f"loadgen failed: {complaint[-300:]}")
        return json.loads(output)


def credentials(headers, folder):
    """Options of loadgen that carry what `prepare` printed."""
    options = [option for header in headers.get("headers", []) for option in ("--header", header)]
    if by_package := headers.get("headers_by_package"):
        file = folder / "headers"
        file.write_text("".join(f"{package}\t{header}\n" for package, header in by_package.items()))
        options += ["--headers-by-package", file]
    return options


def synced_seconds(folder):
    """How long the disk needs for what the servers left in the page cache."""
    started = time.monotonic()
    subprocess.run(["sync", "-f", folder], check=False)
    return time.monotonic() - started
