"""Writes vectors.json: a second implementation of the log's formats, from the definitions alone.

    python vectors.py > vectors.json

The tree is the recursion of RFC 6962, section 2, over plain lists. Notes follow C2SP signed-note and
tlog-cosignature; Ed25519 is the `cryptography` package's. Nothing here is shared with the product.
"""

import base64
import hashlib
import json
import struct

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def sha256(data):
    return hashlib.sha256(data).digest()


def split(n):
    k = 1
    while 2 * k < n:
        k *= 2
    return k


def mth(leaves):
    if not leaves:
        return sha256(b"")
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0])
    k = split(len(leaves))
    return sha256(b"\x01" + mth(leaves[:k]) + mth(leaves[k:]))


def path(m, leaves):
    if len(leaves) == 1:
        return []
    k = split(len(leaves))
    if m < k:
        return path(m, leaves[:k]) + [mth(leaves[k:])]
    return path(m - k, leaves[k:]) + [mth(leaves[:k])]


def subproof(m, leaves, whole):
    if m == len(leaves):
        return [] if whole else [mth(leaves)]
    k = split(len(leaves))
    if m <= k:
        return subproof(m, leaves[:k], whole) + [mth(leaves[k:])]
    return subproof(m - k, leaves[k:], False) + [mth(leaves[:k])]


def tile(level, index, width, leaves):
    step = 256**level
    start = index * 256
    return b"".join(mth(leaves[i * step : (i + 1) * step]) for i in range(start, start + width))


def bundle(index, width, leaves):
    chosen = leaves[index * 256 : index * 256 + width]
    return b"".join(struct.pack(">H", len(leaf)) + leaf for leaf in chosen)


class Key:
    def __init__(self, name, kind, seed):
        self.name, self.kind = name, kind
        self.private = Ed25519PrivateKey.from_private_bytes(seed)
        self.public = bytes([kind]) + self.private.public_key().public_bytes_raw()
        self.id = sha256(name.encode() + b"\n" + self.public)[:4]

    def verifier(self):
        return f"{self.name}+{self.id.hex()}+{base64.b64encode(self.public).decode()}"

    def line(self, signature):
        return f"\u2014 {self.name} {base64.b64encode(self.id + signature).decode()}\n"

    def sign(self, text, time):
        if self.kind == 1:
            return self.line(self.private.sign(text.encode()))
        message = f"cosignature/v1\ntime {time}\n{text}"
        return self.line(struct.pack(">Q", time) + self.private.sign(message.encode()))


def hexes(hashes):
    return [h.hex() for h in hashes]


def main():
    leaves = [f"leaf {i}".encode() for i in range(66_000)]
    sizes = [*range(0, 18), 255, 256, 257, 600, 65_536, 66_000]
    pairs = [(i, n) for n in (1, 2, 3, 7, 8, 13) for i in range(n)]
    pairs += [(0, 257), (255, 257), (256, 257), (599, 600), (65_537, 66_000)]
    steps = [(m, n) for n in (1, 2, 3, 7, 8, 13) for m in range(1, n + 1)]
    steps += [(255, 257), (256, 257), (256, 600), (599, 600), (600, 66_000), (65_536, 66_000)]
    tiles = [(0, 0, 256), (0, 257, 208), (1, 0, 256), (1, 1, 1), (2, 0, 1)]
    log = Key("log.example/log", 1, bytes(range(32)))
    witness = Key("witness.example/w1", 4, bytes(range(32, 64)))
    root = base64.b64encode(mth(leaves[:600])).decode()
    text = f"{log.name}\n600\n{root}\n"
    vectors = {
        "leaf": "`leaf N` in ASCII, N from 0",
        "roots": [{"size": n, "root": mth(leaves[:n]).hex()} for n in sizes],
        "inclusion": [
            {"index": i, "size": n, "proof": hexes(path(i, leaves[:n]))} for i, n in pairs
        ],
        "consistency": [
            {"old": m, "new": n, "proof": hexes(subproof(m, leaves[:n], True))} for m, n in steps
        ],
        "tiles_of_66000": [
            {"path": f"{level}/{index:03}" + (f".p/{width}" if width < 256 else ""),
             "sha256": sha256(tile(level, index, width, leaves)).hex()}
            for level, index, width in tiles
        ],
        "bundles_of_66000": [
            {"path": "entries/000", "sha256": sha256(bundle(0, 256, leaves)).hex()},
            {"path": "entries/257.p/208", "sha256": sha256(bundle(257, 208, leaves)).hex()},
        ],
        "log_seed": bytes(range(32)).hex(),
        "log_key": log.verifier(),
        "witness_seed": bytes(range(32, 64)).hex(),
        "witness_key": witness.verifier(),
        "witness_time": 1_700_000_000,
        "checkpoint": text + "\n" + log.sign(text, 0) + witness.sign(text, 1_700_000_000),
    }
    print(json.dumps(vectors, indent=1))


if __name__ == "__main__":
    main()
