"""Measures servers side by side. Standard library only.

  bench.py run --sizes 10kb,1mb --concurrency 1,8 --rounds 3 --out results.jsonl [--only a,b]
  bench.py table results.jsonl…

For every cell (size and concurrency), each round runs all targets of a protocol one after another, in the opposite
order every second round, each with a new server in an empty folder. README.md says what is measured.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shlex
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import tomllib
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
BIN = pathlib.Path(os.environ.get("BENCH_BIN", HERE / "rust/target/release"))
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Requests of a cell, enough for a stable median in the time a cell has.
REQUESTS = {
    "10kb": {1: 400, 8: 1600, 32: 1600},
    "1mb": {1: 100, 8: 200, 32: 256},
    "20mb": {1: 12, 8: 32, 32: 64},
    "100mb": {1: 5, 8: 16, 32: 32},
}
# Processes of a target that are not the target.
NOT_COUNTED = {"bench-issuer"}
# Seconds: for a server to become ready, for it to end, for what is done before a cell.
READY, END, PREPARE = 60, 8, 120
# A server is ended when it takes more memory than this, or leaves less than that, in GB.
MEMORY_MAX, MEMORY_LEFT_MIN = 8.0, 1.5


def family(root):
    """Process `root` and everything below it, without what is not counted."""
    children = {}
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += children.get(process, [])
    return found


def counted(root):
    return [process for process in family(root) if read(process, "comm").strip() not in NOT_COUNTED]


def read(process, file):
    """A file of /proc/PID; empty when the process is gone."""
    try:
        return pathlib.Path(f"/proc/{process}/{file}").read_text()
    except OSError:
        return ""


def cpu_seconds(processes):
    """CPU seconds by process, those of its ended children included."""
    used = {}
    for process in processes:
        fields = read(process, "stat").rsplit(")", 1)[-1].split()
        if len(fields) > 14:
            used[process] = sum(map(int, fields[11:15])) / TICKS_PER_SECOND
    return used


def memory_mb(processes, key):
    """The sum of one line of /proc/PID/status."""
    lines = (line for process in processes for line in read(process, "status").splitlines())
    return sum(int(line.split()[1]) for line in lines if line.startswith(key + ":")) / 1e3


def memory_left_gb():
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1e6


class Watch(threading.Thread):
    """Follows a server's CPU time and memory, and ends it before it takes the machine down."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.over = root, threading.Event()
        self.start_cpu = cpu_seconds(counted(root))
        self.cpu, self.peak_mb, self.ended = dict(self.start_cpu), 0.0, False

    def run(self):
        while not self.over.wait(0.1):
            self.look()
            if self.peak_mb / 1e3 > MEMORY_MAX or memory_left_gb() < MEMORY_LEFT_MIN:
                self.ended = True
                end(self.root, signal.SIGKILL)
                return

    def look(self):
        processes = counted(self.root)
        self.cpu.update(cpu_seconds(processes))
        self.peak_mb = max(self.peak_mb, memory_mb(processes, "VmRSS"), memory_mb(processes, "VmHWM"))

    def finish(self):
        self.over.set()
        self.join()
        self.look()
        return sum(used - self.start_cpu.get(process, 0) for process, used in self.cpu.items())


def end(root, how):
    for process in family(root):
        with contextlib.suppress(OSError):
            os.kill(process, how)


@contextlib.contextmanager
def server(name, target, work, log):
    """The target's process, ready; ended and its folder removed afterwards."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    command = shlex.split(fill(target["start"], target, work))
    process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until_ready(name, address(target, target["ready"]), process)
        yield process
    finally:
        for how in (signal.SIGTERM, signal.SIGKILL):
            end(process.pid, how)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(END)
        shutil.rmtree(work, ignore_errors=True)


def fill(text, target, work):
    values = {"work": work, "port": target["port"], "here": HERE, "bin": BIN, "python": sys.executable}
    return text.format_map(values)


def address(target, path):
    return f"http://127.0.0.1:{target['port']}{path}"


def wait_until_ready(name, url, process):
    until = time.monotonic() + READY
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended at start, see its log")
        try:
            urllib.request.urlopen(url, timeout=2).read()
            return
        except urllib.error.HTTPError as answer:
            if answer.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise RuntimeError(f"{name} was not ready in {READY} s")


def credentials(target, work, folder):
    """Options of loadgen that carry what `prepare` printed."""
    if "prepare" not in target:
        return []
    command = shlex.split(fill(target["prepare"], target, work))
    output = subprocess.run(command, capture_output=True, text=True, timeout=PREPARE, check=False)
    if output.returncode:
        raise RuntimeError(f"prepare failed: {output.stderr[-300:]}")
    printed = json.loads(output.stdout.strip().splitlines()[-1])
    options = [option for header in printed.get("headers", []) for option in ("--header", header)]
    if by_package := printed.get("headers_by_package"):
        file = folder / "headers"
        file.write_text("".join(f"{package}\t{header}\n" for package, header in by_package.items()))
        options += ["--headers-by-package", file]
    return options


def synced_seconds(folder):
    """How long the disk needs for what the servers left in the page cache."""
    started = time.monotonic()
    subprocess.run(["sync", "-f", folder], check=False)
    return time.monotonic() - started


def cell(name, target, size, concurrency, seconds, folder):
    """One measurement. A target that cannot run is a result too."""
    result = {"target": name, "proto": target["proto"], "size": size, "concurrency": concurrency}
    work = folder / "work"
    with open(folder / f"{name}.log", "ab") as log:
        try:
            with server(name, target, work, log) as process:
                result |= load(target, process, size, concurrency, seconds, work, folder)
        except (OSError, RuntimeError, subprocess.SubprocessError, ValueError) as error:
            result["error"] = f"{type(error).__name__}: {error}"
    return result


def load(target, process, size, concurrency, seconds, work, folder):
    ready = folder / "ready"
    go = folder / "ready.go"
    for file in (ready, go):
        file.unlink(missing_ok=True)
    requests = REQUESTS.get(size, {}).get(concurrency, 2 * concurrency)
    command = [BIN / "loadgen", "--proto", target["proto"], "--url", address(target, target["upload"]), "--size", size,
               "--concurrency", concurrency, "--requests", requests, "--seconds", seconds, "--warmup", 4,
               "--ready", ready, *credentials(target, work, folder)]
    synced_seconds(folder)
    client = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not ready.exists() and client.poll() is None:
        time.sleep(0.01)
    for process_id in counted(process.pid):
        # Forgets the peak of the start and of the warm-up.
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{process_id}/clear_refs").write_text("5")
    watch = Watch(process.pid)
    watch.start()
    go.touch()
    output, complaint = client.communicate()
    used = watch.finish()
    if client.returncode:
        raise RuntimeError(f"loadgen failed: {complaint[-300:]}")
    result = json.loads(output)
    megabytes = result["archive_bytes"] / 1e6
    return result | {
        "peak_rss_mb": watch.peak_mb,
        "cpu_ms_per_mb": used * 1e3 / megabytes if megabytes else None,
        "sync_after_seconds": synced_seconds(folder),
        "ended_for_memory": watch.ended,
        "died": process.poll() is not None,
    }


def run(options):
    targets = tomllib.loads((HERE / "targets.toml").read_text())
    default = [name for name, target in targets.items() if target.get("default", True)]
    names = options.only.split(",") if options.only else default
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder, open(options.out, "a") as out:
        for number in range(options.rounds):
            for size in options.sizes.split(","):
                for concurrency in map(int, options.concurrency.split(",")):
                    for name in names if number % 2 == 0 else reversed(names):
                        result = cell(name, targets[name], size, concurrency, options.seconds, pathlib.Path(folder))
                        out.write(json.dumps(result | {"round": number}) + "\n")
                        out.flush()
                        report(result)


def report(result):
    head = f"{result['target']:20} {result['size']:>6} ×{result['concurrency']:<3}"
    if error := result.get("error"):
        print(head, error, file=sys.stderr)
        return
    print(f"{head} {result['mb_per_second']:8.1f} MB/s {result['requests_per_second']:8.1f} requests/s "
          f"p99 {result['p99_ms']:8.1f} ms  RSS {result['peak_rss_mb']:6.0f} MB  {result['statuses']} "
          f"{' '.join(result['quotes'][:1])}", file=sys.stderr)


def table(options):
    results = [json.loads(line) for file in options.files for line in open(file)]
    targets = tomllib.loads((HERE / "targets.toml").read_text())
    order = list(REQUESTS)
    for proto in ("npm", "pypi"):
        mine = [result for result in results if result["proto"] == proto]
        if not mine:
            continue
        peer = next(name for name, target in targets.items() if target["proto"] == proto and target.get("peer"))
        limit = next(name for name, target in targets.items() if target["proto"] == proto and target.get("limit"))
        print(f"\n### {proto}\n\n| size | at once | target | ok | not ok | requests/s | MB/s | ÷ {peer} | ÷ {limit} "
              "| p50 ms | p99 ms | CPU ms/MB | peak RSS MB | sync after s |\n" + "|---" * 14 + "|")
        cells = sorted({(result["size"], result["concurrency"]) for result in mine},
                       key=lambda cell: (order.index(cell[0]) if cell[0] in order else len(order), cell[1]))
        for size, concurrency in cells:
            here = [result for result in mine if (result["size"], result["concurrency"]) == (size, concurrency)]
            for name in [name for name in targets if any(result["target"] == name for result in here)]:
                print(row(size, concurrency, name, here, peer, limit))


def row(size, concurrency, name, results, peer, limit):
    own = [result for result in results if result["target"] == name]
    speed = middle(own, "mb_per_second")
    ratio = [quotient(speed, middle([r for r in results if r["target"] == base], "mb_per_second"))
             for base in (peer, limit)]
    values = [size, concurrency, name, sum(result.get("ok", 0) for result in own), trouble(own),
              number(middle(own, "requests_per_second")), number(speed), *[number(value, 2) for value in ratio],
              number(middle(own, "p50_ms")), number(middle(own, "p99_ms")), number(middle(own, "cpu_ms_per_mb"), 2),
              number(max((result.get("peak_rss_mb", 0) for result in own), default=None), 0),
              number(middle(own, "sync_after_seconds"), 2)]
    return "| " + " | ".join(map(str, values)) + " |"


def trouble(results):
    """Everything but success, counted."""
    counts = {}
    for result in results:
        for status, count in result.get("statuses", {}).items():
            if not status.startswith("2"):
                counts[status] = counts.get(status, 0) + count
        for word in ("ended_for_memory", "died", "error"):
            if result.get(word):
                counts[word] = counts.get(word, 0) + 1
    return " ".join(f"{word}×{count}" for word, count in counts.items())


def middle(results, key):
    values = [result[key] for result in results if isinstance(result.get(key), (int, float)) and result.get("ok")]
    return statistics.median(values) if values else None


def quotient(value, base):
    return value / base if value and base else None


def number(value, digits=1):
    return "" if value is None else f"{value:.{digits}f}"


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    running = commands.add_parser("run")
    running.add_argument("--only", help="targets, with commas")
    running.add_argument("--sizes", default="10kb,1mb,20mb,100mb")
    running.add_argument("--concurrency", default="1,8,32")
    running.add_argument("--rounds", type=int, default=3)
    running.add_argument("--seconds", type=float, default=8, help="at most, for each cell")
    running.add_argument("--folder", default=HERE / "results", help="on the disk to measure")
    running.add_argument("--out", required=True)
    tabling = commands.add_parser("table")
    tabling.add_argument("files", nargs="+")
    options = parser.parse_args()
    {"run": run, "table": table}[options.command](options)


main()
