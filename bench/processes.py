"""What a server and its children use: CPU time and memory, read from /proc. And how they are ended."""

import contextlib
import os
import pathlib
import signal
import threading

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
# Processes of a target that are not the target.
NOT_COUNTED = {"bench-issuer"}
# A server is ended when it takes more memory than this, or leaves less than that, in GB.
MEMORY_MAX, MEMORY_LEFT_MIN = 8.0, 1.5
# Seconds between two looks.
EVERY = 0.1


def family(root):
    """Process `root` and everything below it."""
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
    """The family without what is not counted."""
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


def forget_peak(root):
    """Forgets the peak of memory that was reached until now."""
    for process in counted(root):
        with contextlib.suppress(OSError):
            pathlib.Path(f"/proc/{process}/clear_refs").write_text("5")


def end(root, how):
    """Sends a signal to the whole family."""
    for process in family(root):
        with contextlib.suppress(OSError):
            os.kill(process, how)


class Watch(threading.Thread):
    """Follows a server's CPU time and memory, and ends it before it takes the machine down."""

    def __init__(self, root):
        super().__init__(daemon=True)
        self.root, self.over = root, threading.Event()
        self.start_cpu = cpu_seconds(counted(root))
        self.cpu, self.peak_mb, self.ended = dict(self.start_cpu), 0.0, False

    def __enter__(self):
        forget_peak(self.root)
        self.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.join()
        self.look()

    def run(self):
        while not self.over.wait(EVERY):
            self.look()
            if self.peak_mb / 1e3 > MEMORY_MAX or memory_left_gb() < MEMORY_LEFT_MIN:
                self.ended = True
                end(self.root, signal.SIGKILL)
                return

    def look(self):
        processes = counted(self.root)
        self.cpu.update(cpu_seconds(processes))
        self.peak_mb = max(self.peak_mb, memory_mb(processes, "VmRSS"), memory_mb(processes, "VmHWM"))

    def cpu_used(self):
        """CPU seconds since the start of the watch."""
        return sum(used - self.start_cpu.get(process, 0) for process, used in self.cpu.items())
