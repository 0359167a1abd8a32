"""What a gateway that was killed still has: held against what it had answered."""

import dataclasses
import hashlib
import pathlib
import sqlite3


@dataclasses.dataclass
class Found:
    """Counts over all kills."""

    answered: int = 0
    missing: int = 0
    listed: int = 0
    listed_without_bytes: int = 0

    def __add__(self, other):
        return Found(*(mine + theirs for mine, theirs in zip(vars(self).values(), vars(other).values())))


def look(work, record):
    """Looks at an installation that was just started again. `record` has the uploads that were answered since the last
    look: package, version, SHA-256."""
    lines = record.read_text().splitlines() if record.exists() else []
    answered = {tuple(line.split("\t")) for line in lines}
    record.unlink(missing_ok=True)
    listed = newly_listed(work)
    broken = sum(not is_whole(work, sha256) for _, _, sha256 in listed)
    return Found(len(answered), len(answered - listed), len(listed), broken)


def newly_listed(work):
    """The artifacts in the database that no earlier look has seen."""
    seen_file = work / "seen"
    seen = int(seen_file.read_text()) if seen_file.exists() else 0
    database = sqlite3.connect(f"file:{next(work.rglob('*.db'))}?mode=ro", uri=True)
    try:
        rows = database.execute(
            "select artifacts.rowid, packages.name, releases.version, hex(artifacts.sha256) from artifacts "
            "join releases on releases.id = release_id join packages on packages.id = package_id "
            "where artifacts.rowid > ?", [seen]).fetchall()
    finally:
        database.close()
    seen_file.write_text(str(max([seen, *(row[0] for row in rows)])))
    return {(name, version, sha256.lower()) for _, name, version, sha256 in rows}


def is_whole(work, sha256):
    file = next(work.rglob(f"blobs/{sha256[:2]}/{sha256[2:]}"), None)
    if file is None:
        return False
    with open(pathlib.Path(file), "rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest() == sha256
