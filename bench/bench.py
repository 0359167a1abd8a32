"""Measures servers side by side on loopback. Standard library only.

  bench.py cells  --sizes 10kb,1mb --concurrency 1,8 --rounds 3   uploads of one size at a time
  bench.py mixed  --rounds 3                                      10 KB uploads alone, and beside four of 100 MB
  bench.py over   --only gateway-npm                              bodies larger than the server takes
  bench.py kill   --only gateway-npm --times 50                   kill -9 under load: is what was answered there?
  bench.py table  results.jsonl                                   what was measured, and the goals

All but `table` take --only a,b (targets) and --out FILE, to which they append. Rounds run the targets of a protocol one
after another, in the opposite order every second round, each with a new server in an empty folder. README.md says what
is measured.
"""

import argparse
import json
import os
import pathlib
import random
import signal
import subprocess
import tempfile
import time

import durability
import limits
import report
from processes import Watch
from servers import HERE, Load, fresh, prepared, running, synced_seconds, targets

# Requests of a cell, enough for a stable median in the time a cell has.
REQUESTS = {
    "10kb": {1: 400, 8: 1600, 32: 1600},
    "1mb": {1: 100, 8: 200, 32: 256},
    "20mb": {1: 12, 8: 32, 32: 64},
    "100mb": {1: 5, 8: 16, 32: 32},
    "300mb": {1: 3},
    "500mb": {8: 8},
}
# The small uploads of `mixed` use the second half of the packages, the big ones the first.
SMALL = {"size": "10kb", "concurrency": 4, "requests": 1_000_000, "first_package": 128, "packages": 64, "warmup": 4}
BIG = {"size": "100mb", "concurrency": 4, "requests": 1_000_000, "packages": 4, "warmup": 1}
# Seconds by which the big uploads begin earlier and end later.
BIG_AROUND = 1.0


def cell(target, folder, options, size, concurrency):
    """Uploads of one size."""
    requests = REQUESTS.get(size, {}).get(concurrency, 2 * concurrency)
    work = folder / "work"
    with fresh(work), running(target, work) as process:
        load = Load(target, prepared(target, work), folder, "load", size=size, concurrency=concurrency,
                    requests=requests, seconds=options.seconds, warmup=4 if size != "500mb" else 0)
        synced_seconds(folder)
        with Watch(process.pid) as watch:
            result = load.go().result()
        megabytes = result["archive_bytes"] / 1e6
        return result | usage(watch, process) | {
            "cpu_ms_per_mb": watch.cpu_used() * 1e3 / megabytes if megabytes else None,
            "sync_after_seconds": synced_seconds(folder),
        }


def mixed(target, folder, options):
    """Small uploads alone, then the same beside big ones."""
    work = folder / "work"
    with fresh(work), running(target, work) as process:
        headers = prepared(target, work)
        with Watch(process.pid) as watch:
            alone = Load(target, headers, folder, "alone", seconds=options.seconds, **SMALL).go().result()
            big = Load(target, headers, folder, "big", seconds=options.seconds + 2 * BIG_AROUND, **BIG)
            small = Load(target, headers, folder, "small", seconds=options.seconds, **SMALL)
            big.go()
            time.sleep(BIG_AROUND)
            beside = small.go().result()
            big = big.result()
        return usage(watch, process) | {"alone": alone, "beside": beside, "big": big}


def over(target, folder, _options):
    """Bodies over the limit: one that says so beforehand, one that does not."""
    work = folder / "work"
    with fresh(work), running(target, work) as process:
        headers = prepared(target, work)
        with Watch(process.pid) as watch:
            tries = {"declared": limits.declared(target, headers), "streamed": limits.streamed(target, headers)}
        return usage(watch, process) | tries


def kill(target, folder, options):
    """Ends the server at random moments under load and looks for every upload that it had answered with success."""
    work = folder / "work"
    found = durability.Found()
    random.seed(options.seed)
    with fresh(work):
        headers = {}
        for number in range(options.times + 1):
            with running(target, work) as process:
                headers = headers or prepared(target, work)
                found += durability.look(work, folder / "record")
                if number == options.times:
                    break
                load = Load(target, headers, folder, "load", size="1mb", concurrency=8, requests=1_000_000,
                            seconds=60, record=folder / "record")
                load.go()
                time.sleep(random.uniform(0.05, 1.0))
                os.kill(process.pid, signal.SIGKILL)
                process.wait()
                load.stop()
        return {"kills": options.times} | vars(found)


def usage(watch, process):
    return {"peak_rss_mb": watch.peak_mb, "ended_for_memory": watch.ended, "died": process.poll() is not None}


def measure(what, target, folder, options, **where):
    """One result, written down and shown. A target that cannot run is a result too."""
    result = {"what": what.__name__, "target": target["name"], "proto": target["proto"], **where}
    try:
        result |= what(target, folder, options, **where)
    except (OSError, RuntimeError, subprocess.SubprocessError, ValueError) as error:
        result["error"] = f"{type(error).__name__}: {error}"
    with open(options.out, "a") as out:
        out.write(json.dumps(result) + "\n")
    report.show(result)


def run(options):
    listed = targets()
    chosen = [listed[name] for name in options.only.split(",")] if options.only else [
        target for target in listed.values() if target.get("default", True)]
    what = {"cells": cell, "mixed": mixed, "over": over, "kill": kill}[options.command]
    places = [{}]
    if what is cell:
        places = [{"size": size, "concurrency": int(concurrency)}
                  for size in options.sizes.split(",") for concurrency in options.concurrency.split(",")]
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        for number in range(options.rounds):
            for place in places:
                for target in chosen if number % 2 == 0 else reversed(chosen):
                    measure(what, target, pathlib.Path(folder), options, **place)


def main():
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("cells", "mixed", "over", "kill"):
        command = commands.add_parser(name)
        command.add_argument("--only", help="targets, with commas")
        command.add_argument("--rounds", type=int, default=1)
        command.add_argument("--seconds", type=float, default=8, help="at most, for each load")
        command.add_argument("--folder", default=HERE / "results", help="on the disk to measure")
        command.add_argument("--out", required=True)
        if name == "cells":
            command.add_argument("--sizes", default="10kb,1mb,20mb,100mb")
            command.add_argument("--concurrency", default="1,8,32")
        if name == "kill":
            command.add_argument("--times", type=int, default=50)
            command.add_argument("--seed", type=int, default=1, help="of the moments")
    table = commands.add_parser("table")
    table.add_argument("files", nargs="+")
    options = parser.parse_args()
    if options.command == "table":
        report.tables([json.loads(line) for file in options.files for line in open(file)])
    else:
        run(options)


main()
