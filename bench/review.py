"""The whole inspection of a large upgrade, in the child and under its limits, beside other ways to see what changed.

  review.py BINARY FOLDER [--quick]     FOLDER holds the packages of scripts/tools/large.txt

Prints a table. Wall time is that of the whole process, CPU time that of it and its children, memory the most that one
process of it had. `npm diff` and `diffoscope` do the same files in the same run, where they are installed, for five
minutes at most; `--quick` leaves out diffoscope, which takes all of them. Standard library only.
"""

import argparse
import io
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time
import typing

BEFORE, AFTER = "next-15.3.0.tgz", "next-15.4.1.tgz"
# What children ship with (security.md 2.9), and the goal of this measurement.
BOUNDS = {"memory_bytes": 512 << 20, "cpu_secs": 60}
GOAL_SECONDS, GOAL_MB = 8.0, 512.0
GOAL_FILE_SECONDS = 1.0
# A command that takes longer is ended and has no figures, in seconds.
PATIENCE = 300
ROUNDS = 3


class Figures(typing.NamedTuple):
    """What a command took, and what it printed."""

    seconds: float
    cpu_seconds: float
    megabytes: float
    printed: bytes


class NoResult(Exception):
    """Why a command has no figures."""


def measured(command, folder, environment=None):
    """Runs a command to its end."""
    begun = time.monotonic()
    # A child may write to no file, whatever this program's standard error is.
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                               start_new_session=True)
    end = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
    end.start()
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    end.cancel()
    seconds = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if seconds >= PATIENCE:
        raise NoResult(f"over {PATIENCE} s, peak of {usage.ru_maxrss / 1e3:.0f} MB until then")
    # diffoscope ends with 1 when there are differences.
    if process.returncode not in (0, 1) or not printed:
        raise NoResult(f"ended with {process.returncode} after {seconds:.0f} s, peak of {usage.ru_maxrss / 1e3:.0f} MB")
    return Figures(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3, printed)


def rounds(command, folder):
    """The median times and the highest peak of a few runs of a child, without an environment as in production."""
    runs = [measured(command, folder, {}) for _ in range(ROUNDS)]
    seconds, cpu_seconds = (statistics.median(column) for column in list(zip(*runs))[:2])
    return Figures(seconds, cpu_seconds, max(run.megabytes for run in runs), runs[0].printed)


def row(name, of):
    """A row of the table of commands."""
    return f"| {name} | {of.seconds:.2f} | {of.cpu_seconds:.2f} | {of.megabytes:.0f} | {len(of.printed) / 1e6:.1f} |"


def task(folder):
    """What the gateway asks of a child."""
    candidate, baseline = ({"path": str(folder / name), "filename": name} for name in (AFTER, BEFORE))
    request = {"compare": {"candidate": candidate, "baseline": baseline, "standing": {"baseline_unreadable": False}}}
    return json.dumps({"bounds": BOUNDS, "request": request})


def one_file(binary):
    """The difference of one file of about 9 MB with five thousand changes, all pages of it, and the goal."""
    def lines(version):
        return "".join(f"  function f{n}(a) {{ return a + {n + (version if n % 40 == 0 else 0)}; }}\n" for n in range(200_000))

    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for version in (0, 1):
            manifest = json.dumps({"name": "large", "version": f"1.0.{version}"})
            with tarfile.open(folder / f"large-1.0.{version}.tgz", "w:gz", compresslevel=6) as archive:
                for path, text in (("package/package.json", manifest), ("package/large.js", lines(version))):
                    entry = tarfile.TarInfo(path)
                    entry.size = len(text)
                    archive.addfile(entry, io.BytesIO(text.encode()))
        artifacts = [{"path": str(folder / f"large-1.0.{v}.tgz"), "filename": f"large-1.0.{v}.tgz"} for v in (1, 0)]
        wanted = {"place": "large.js", "from": None, "at": {"page": 1}, "as_text": False}
        request = {"diff": {"candidate": artifacts[0], "baseline": artifacts[1], "wanted": wanted}}
        task = json.dumps({"bounds": BOUNDS, "request": request})
        took = rounds([binary, "inspect", "--child", task], folder)
    shown = json.loads(took.printed)["Ok"]
    megabytes, content = shown["after"]["size_bytes"] / 1e6, shown["content"]["text"]
    print(f"\n| one file of {megabytes:.1f} MB, {content['added']} rows changed | seconds | CPU s | peak MB | printed MB |")
    print("|---|---|---|---|---|")
    print(row(f"countersign, a page of {content['pages']}, {ROUNDS} rounds", took))
    print(f"\ngoal of at most {GOAL_FILE_SECONDS:.0f} s: {'met' if took.seconds <= GOAL_FILE_SECONDS else 'NOT met'}")


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    binary, folder = options.binary.resolve(), options.folder.resolve()

    took = rounds([binary, "inspect", "--child", task(folder)], folder)
    compared = json.loads(took.printed)["Ok"]
    print(f"| {BEFORE} → {AFTER} | seconds | CPU s | peak MB | printed MB |\n|---|---|---|---|---|")
    print(row(f"countersign, {ROUNDS} rounds", took), flush=True)
    others = {"npm diff": ["npm", "diff", f"--diff=file:{folder / BEFORE}", f"--diff=file:{folder / AFTER}"]}
    if not options.quick:
        others["diffoscope"] = ["diffoscope", "--text", "-", "--max-report-size", "0", BEFORE, AFTER]
    for name, command in others.items():
        if shutil.which(command[0]) is None:
            print(f"| {name} | not installed | | | |")
            continue
        try:
            print(row(name, measured(command, folder)), flush=True)
        except NoResult as why:
            print(f"| {name} | {why} | | | |", flush=True)
    print(f"\n{len(compared['changes'])} files and {len(compared['members'])} members of the manifest differ, "
          f"{len(compared['findings'])} findings")
    met = took.seconds <= GOAL_SECONDS and took.megabytes <= GOAL_MB
    print(f"goal of at most {GOAL_SECONDS:.0f} s and {GOAL_MB:.0f} MB: {'met' if met else 'NOT met'}")
    one_file(binary)


main()
