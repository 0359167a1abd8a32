"""The whole inspection of a large upgrade, in the child and under its limits, beside other ways to see what changed.

  review.py BINARY FOLDER [--quick]     FOLDER holds the packages of scripts/tools/large.txt

Prints a table. Wall time is that of the whole process, memory the most that one process of it had. `npm diff` and
`diffoscope` run on the same files in the same run where they are installed; `--quick` leaves out diffoscope, which takes
minutes. Standard library only.
"""

import argparse
import io
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import threading
import time

BEFORE, AFTER = "next-15.3.0.tgz", "next-15.4.1.tgz"
# What children ship with (security.md 2.9), and the goal of this measurement.
BOUNDS = {"memory_bytes": 512 << 20, "cpu_secs": 60}
GOAL_SECONDS, GOAL_MB = 8.0, 512.0
GOAL_FILE_SECONDS = 1.0
# A command that takes longer is ended and has no figure, in seconds.
PATIENCE = 900
ROUNDS = 3


def measured(command, folder, environment=None):
    """Seconds, peak MB, and what a command printed; None when it had to be ended or failed."""
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE)
    end = threading.Timer(PATIENCE, process.kill)
    end.start()
    printed = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    end.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    # diffoscope ends with 1 when there are differences.
    if process.returncode not in (0, 1) or not printed:
        return None
    return time.monotonic() - begun, usage.ru_maxrss / 1e3, printed


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
        rounds = [measured([binary, "inspect", "--child", task], folder, {}) for _ in range(ROUNDS)]
    if None in rounds:
        raise SystemExit("a difference failed")
    shown = json.loads(rounds[0][2])["Ok"]
    megabytes, content = shown["after"]["size_bytes"] / 1e6, shown["content"]["text"]
    seconds = statistics.median(seconds for seconds, _, _ in rounds)
    peak = max(peak for _, peak, _ in rounds)
    print(f"\n| one file of {megabytes:.1f} MB, {content['added']} rows changed | seconds | peak MB |\n|---|---|---|")
    print(f"| countersign, a page of {content['pages']}, {ROUNDS} rounds | {seconds:.2f} | {peak:.0f} |")
    print(f"\ngoal of at most {GOAL_FILE_SECONDS:.0f} s: {'met' if seconds <= GOAL_FILE_SECONDS else 'NOT met'}")


def main():
    """Measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    binary, folder = options.binary.resolve(), options.folder.resolve()

    rounds = [measured([binary, "inspect", "--child", task(folder)], folder, {}) for _ in range(ROUNDS)]
    if None in rounds:
        raise SystemExit("an inspection failed")
    seconds = statistics.median(seconds for seconds, _, _ in rounds)
    megabytes = max(megabytes for _, megabytes, _ in rounds)
    compared = json.loads(rounds[0][2])["Ok"]
    print(f"| {BEFORE} → {AFTER} | seconds | peak MB | printed MB |\n|---|---|---|---|")
    print(f"| countersign, {ROUNDS} rounds | {seconds:.2f} | {megabytes:.0f} | {len(rounds[0][2]) / 1e6:.1f} |")
    others = {"npm diff": ["npm", "diff", f"--diff=file:{folder / BEFORE}", f"--diff=file:{folder / AFTER}"]}
    if not options.quick:
        others["diffoscope"] = ["diffoscope", "--text", "-", "--max-report-size", "0", BEFORE, AFTER]
    for name, command in others.items():
        if shutil.which(command[0]) is None:
            print(f"| {name} | not installed | | |")
            continue
        figures = measured(command, folder)
        row = f"{figures[0]:.2f} | {figures[1]:.0f} | {len(figures[2]) / 1e6:.1f}" if figures else "no result | |"
        print(f"| {name} | {row} |")
    print(f"\n{len(compared['changes'])} files and {len(compared['members'])} members of the manifest differ, "
          f"{len(compared['findings'])} findings")
    met = seconds <= GOAL_SECONDS and megabytes <= GOAL_MB
    print(f"goal of at most {GOAL_SECONDS:.0f} s and {GOAL_MB:.0f} MB: {'met' if met else 'NOT met'}")
    one_file(binary)


main()
