"""The whole inspection of a large upgrade, in the child and under its limits, beside other ways to see what changed.

  review.py BINARY FOLDER [--quick]     FOLDER holds the packages of scripts/tools/large.txt

Prints a table. Wall time is that of the whole process, memory the most that one process of it had. `npm diff` and
`diffoscope` run on the same files in the same run where they are installed; `--quick` leaves out diffoscope, which takes
minutes. Standard library only.
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import threading
import time

BEFORE, AFTER = "next-15.3.0.tgz", "next-15.4.1.tgz"
# What children ship with (security.md 2.9), and the goal of this measurement.
BOUNDS = {"memory_bytes": 512 << 20, "cpu_secs": 60}
GOAL_SECONDS, GOAL_MB = 8.0, 512.0
# A command that takes longer is ended and has no figure, in seconds.
PATIENCE = 900
ROUNDS = 3


def measured(command, folder, environment=None):
    """Seconds, peak MB, and what a command printed; None when it had to be ended or failed."""
    begun = time.monotonic()
    process = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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
    request = {"compare": {"candidate": candidate, "baseline": baseline, "standing": {}}}
    return json.dumps({"bounds": BOUNDS, "request": request})


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


main()
