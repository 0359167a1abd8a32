#!/usr/bin/env python3
"""Checks the evidence of a release offline: who approved which bytes.

    verify.py evidence.json --key 'releases.example/log+id+base64' [--digest sha256:…]

Shares no code with the gateway and needs nothing but Python 3.9 and `cryptography`. Exits with 0 only
if the log with that key says that every file was approved before it was sent.
"""

import argparse
import base64
import hashlib
import json
import pathlib
import sys
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256

FORMAT, BATCH = "countersign/evidence/v1", "countersign/batch/v1"
TOLD = ("credential_sealed", "publisher_revised", "publisher_removed")  # What happened, not what may.
SIGNERS = ("owner", "maintainer")
ENDED = {"release_rejected": "rejected", "release_expired": "expired", "release_superseded": "superseded"}

def expect(condition, message):
    if not condition:
        raise ValueError(message)

def sha256(data):
    return hashlib.sha256(data).digest()

def canonical(value):
    """The encoding of every document: no white space, members in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

def strict(data):
    """JSON whose objects have no member twice."""
    def members(pairs):
        expect(len({name for name, _ in pairs}) == len(pairs), "a member appears twice")
        return dict(pairs)
    return json.loads(data, object_pairs_hook=members)

def unpadded(text):
    """Base64url without padding, in the one spelling that it has."""
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    expect(base64.urlsafe_b64encode(data).rstrip(b"=").decode() == text, "base64url is not canonical")
    return data

def when(text, later=0):
    """A time, so many seconds later, as something that compares; fractions have any length."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return datetime.fromisoformat(whole) + timedelta(seconds=later), fraction.ljust(9, "0")

class LogKey:
    """A verifier key, `name+id+base64` (docs/log.md)."""
    def __init__(self, text):
        self.name, key_id, encoded = text.split("+", 2)
        data = base64.b64decode(encoded, validate=True)
        expect(len(data) == 33 and data[0] == 1, "expected an Ed25519 verifier key")
        self.id = sha256(self.name.encode() + b"\n" + data)[:4]
        expect(self.id.hex() == key_id, "the id of the verifier key is not its own")
        self.public = ed25519.Ed25519PublicKey.from_public_bytes(data[1:])
    def check(self, text, lines):
        """One of the signature lines is this key's over the text."""
        own = [line for line in lines if line.startswith(f"\u2014 {self.name} ")]
        own = [base64.b64decode(line.rsplit(" ", 1)[1], validate=True) for line in own]
        own = [signature[4:] for signature in own if signature[:4] == self.id]
        expect(own, f"not signed by the log {self.name}")
        for signature in own:
            self.public.verify(signature, text.encode())

def open_checkpoint(note, key):
    """Size and root of the tree that the log signed."""
    text, _, lines = note.rpartition("\n\n")
    key.check(text + "\n", lines.splitlines())
    origin, size, root = text.splitlines()
    expect(origin == key.name, "the checkpoint is of another log")
    return int(size), base64.b64decode(root, validate=True)

def included(size, root, index, leaf, proof):
    """Whether the leaf is in the tree (RFC 9162 section 2.1.3.2)."""
    node, last, current = index, size - 1, sha256(b"\0" + leaf)
    for sibling in proof:
        expect(last > 0, "a proof is too long")
        if node % 2 == 1 or node == last:
            current = sha256(b"\1" + sibling + current)
            while node % 2 == 0 and node != 0:
                node, last = node >> 1, last >> 1
        else:
            current = sha256(b"\1" + current + sibling)
        node, last = node >> 1, last >> 1
    return index < size and last == 0 and current == root

def read_entries(bundle, size, root):
    """The entries, each of which is in the log."""
    entries = []
    for proven in bundle["entries"]:
        body = proven["body"].encode()
        entry = strict(body)
        kind = entry["event"]["kind"]
        leaf = {"sequence": entry["sequence"], "at": entry["at"], "kind": kind, "sha256": sha256(body).hex()}
        proof = [bytes.fromhex(node) for node in proven["proof"]]
        found = included(size, root, entry["sequence"], canonical(leaf), proof)
        expect(found, f"entry {entry['sequence']} is not in the log")
        expect(entry["sequence"] > (entries[-1]["sequence"] if entries else -1), "entries are out of order")
        entries.append(entry)
    expect(entries[0]["event"]["kind"] == "genesis" and entries[0]["sequence"] == 0, "the first entry is missing")
    return entries

class Replay:
    """People, rules and registries as the log had them, and what was decided about one release."""

    def __init__(self, genesis, release):
        self.origin, self.instance, self.release = genesis["origin"], genesis["instance"], release
        self.roster, self.policies, self.packages, self.upstreams = None, {}, {}, {}
        self.sealed, self.decisions, self.hold, self.ended = None, [], None, None

    def apply(self, kind, event, at):
        expect(kind != "genesis", "there is a second genesis entry")
        if kind == "roster_revised":
            expected = self.roster["revision"] + 1 if self.roster else 1
            expect(event["roster"]["revision"] == expected, "a roster revision is missing")
            self.roster = event["roster"]
        elif kind == "policy_revised":
            policy = event["policy"]
            revisions = self.policies.setdefault(policy["id"], [])
            expect(policy["revision"] == len(revisions) + 1, "a policy revision is missing")
            revisions.append(policy)
        elif kind == "upstream_revised":
            self.upstreams[event["upstream"]["id"]] = event["upstream"]
        elif kind == "package_revised":
            self.packages[event["package"]["id"]] = event["package"]
        elif event.get("release") == self.release:
            self.apply_own(kind, event, at)
        else:
            expect("release" in event or kind in TOLD, f"entries of the kind {kind} are not judged here")

    def apply_own(self, kind, event, at):
        if kind == "release_sealed":
            expect(self.sealed is None, "the release was sealed twice")
            manifest = strict(event["manifest"])
            ours = manifest["release"] == self.release and manifest["instance"] == self.instance
            expect(ours and manifest["format"] == "countersign/manifest/v1", "the manifest is another's")
            policy = self.policy(manifest)
            under = (event["policy"], event["policy_revision"])
            expect(under == (policy["id"], policy["revision"]), "sealed under another policy")
            expect(when(event["expires_at"]) == when(at, policy["expiry_secs"]), "the seal expires at another time")
            self.sealed = {**event, "document": manifest, "rule": policy}
        elif kind == "decided":
            expect(self.sealed, "a decision came before the seal")
            self.decisions.append((event["decision"], at, self.roster, self.policy(self.sealed["document"])))
        elif kind in ("release_held", "release_resumed"):
            self.hold = kind == "release_held"
        elif kind in ENDED:
            self.ended = ENDED[kind]

    def policy(self, manifest):
        return self.policies[self.packages[manifest["package_id"]]["policy"]][-1]

    def authorise(self, at):
        """Returns the approvals that count, or says why nothing may be sent."""
        expect(self.sealed, "the release is not sealed")
        expect(self.ended is None, f"the release is {self.ended}")
        expect(when(at) < when(self.sealed["expires_at"]), "the release expired")
        upstream = self.upstreams[self.packages[self.sealed["document"]["package_id"]]["upstream"]]
        goes = {"upstream": upstream["id"], "url": upstream["url"]}
        expect(goes == self.sealed["document"]["destination"], "the destination changed")
        starter = self.starter()
        expect(not self.hold, "the release is on hold")
        votes = [(vote[0], vote[1]) for vote in self.decisions if self.counts(*vote)]
        for policy in (self.sealed["rule"], self.policy(self.sealed["document"])):  # Both must hold.
            able, may_object = self.able(policy, at), self.able(policy)  # A key on probation objects.
            rejections = [v for v, _ in votes if v["verdict"] == "reject" and v["person"] in may_object]
            expect(not rejections, "somebody rejected the release")
            if not policy["triggering_actor_counts"]:
                able.discard(starter)
            approvals = [(v, t) for v, t in votes if v["verdict"] == "approve" and v["person"] in able]
            people = {vote["person"] for vote, _ in approvals}
            expect(len(people) >= max(policy["required"], 1), "more approvals were needed")
        return approvals

    def starter(self):
        """The person who started the CI run; None for a declared bot."""
        actor = self.sealed["started_by"]
        people = [p["id"] for p in self.roster["people"] if actor in p["ci_identities"]]
        expect(people or actor in self.roster["bots"], "it is not settled who started the CI run")
        return people[0] if people else None

    def able(self, policy, at=None):
        """Those of the policy who may sign and hold a key, one that approves at that time if one is given."""
        people = [p for p in self.roster["people"] if p["id"] in policy["members"] and p["role"] in SIGNERS]
        return {p["id"] for p in people if any(not at or when(key["counts_from"]) <= when(at) for key in p["keys"])}

    def counts(self, decision, at, roster, policy):
        """Whether a decision is about this release, by a key that counted then and counts now."""
        expected = self.statement(decision, roster, policy)
        if canonical(expected).decode() != decision["statement"] or when(at) >= when(self.sealed["expires_at"]):
            return False
        credential = decision["assertion"]["credentialId"]
        (person, key), (person_now, key_now) = find_key(roster, credential), find_key(self.roster, credential)
        if person is None or person_now is None:
            return False
        then = person["id"] == decision["person"] and person["id"] in policy["members"] and person["role"] in SIGNERS
        then = then and (decision["verdict"] == "reject" or when(key["counts_from"]) <= when(at))
        now = person_now["id"] == person["id"] and key_now["public_key"] == key["public_key"]
        return then and now and signed(self.origin, key["public_key"], decision)

    def statement(self, decision, roster, policy):
        """The statement that this person would be shown."""
        manifest, npm = self.sealed["document"], self.sealed["document"]["npm"] or {}
        digest = {"sha256": sha256(canonical(policy)).hex(), "required": policy["required"]}
        return {
            "format": "countersign/statement/v1",
            "origin": self.origin,
            "decision": decision["verdict"],
            "person": decision["person"],
            **{name: manifest[name] for name in ("release", "ecosystem", "package", "version", "destination")},
            **{name: npm.get(name) for name in ("dist_tag", "access")},
            "files": [{m: file[m] for m in ("name", "size_bytes", "sha256")} for file in manifest["files"]],
            "manifest_sha256": sha256(self.sealed["manifest"].encode()).hex(),
            "policy": {"id": policy["id"], "revision": policy["revision"], **digest},
            "roster": {"revision": roster["revision"], "sha256": sha256(canonical(roster)).hex()},
            "reason": strict(decision["statement"]).get("reason"),
            "not_after": self.sealed["expires_at"],
        }

def find_key(roster, credential):
    keys = ((person, key) for person in roster["people"] for key in person["keys"])
    return next((found for found in keys if found[1]["credential_id"] == credential), (None, None))

def signed(origin, public_key, decision):
    """Whether the assertion is this key's, over exactly this statement (Web Authentication 7.2)."""
    assertion = decision["assertion"]
    client_data, data = unpadded(assertion["clientDataJSON"]), unpadded(assertion["authenticatorData"])
    purpose, text = decision["verdict"], decision["statement"]
    if decision["batch"] is not None:  # One touch for several releases, each by its statement's digest.
        batch = strict(decision["batch"])
        listed = sha256(text.encode()).hex() in (item["statement_sha256"] for item in batch["releases"])
        if not (listed and batch["person"] == decision["person"] and purpose == "approve" and
                batch["format"] == BATCH and canonical(batch).decode() == decision["batch"]):
            return False
        purpose, text = "approve-batch", decision["batch"]
    tag = f"countersign/{purpose}/v1".encode()
    challenge = sha256(tag + b"\0" + unpadded(decision["nonce"]) + sha256(text.encode()))
    client, host = strict(client_data), origin.split("://")[1].rsplit(":", 1)[0]
    present, verified, eligible, backed_up, attested, extended = (data[32] >> bit & 1 for bit in (0, 2, 3, 4, 6, 7))
    fits = (
        client["type"] == "webauthn.get" and unpadded(client["challenge"]) == challenge
        and client["origin"] == origin and data[:32] == sha256(host.encode())
        and client.get("crossOrigin", False) is False and "topOrigin" not in client
        and present and verified and eligible >= backed_up and not attested
        and extended == (len(data) > 37)
    )
    cose = unpadded(public_key)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + cose[10:42] + cose[45:])
    try:
        key.verify(unpadded(assertion["signature"]), data + sha256(client_data), ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return fits

def verify(data, key):
    """Returns the manifest, the approvals that counted, and the size of the log."""
    bundle = strict(data)
    expect(bundle.get("format") == FORMAT, f"expected an evidence bundle of format {FORMAT}")
    expect(canonical(bundle) == data, "the bundle was changed: it is not in the encoding that gateways write")
    unsigned = sha256(canonical({**bundle, "signature": ""})).hex()
    key.check(f"{FORMAT}\n{unsigned}\n", [bundle["signature"]])
    size, root = open_checkpoint(bundle["checkpoint"], key)
    entries = read_entries(bundle, size, root)
    genesis = entries[0]["event"]
    expect(genesis["origin"].split("://")[1] + "/log" == key.name, "the entries are of another installation")
    replay, approvals = Replay(genesis, bundle["release"]), None
    for entry in entries[1:]:
        kind, event = entry["event"]["kind"], entry["event"]
        if kind == "forward_started" and event["release"] == bundle["release"]:
            approvals = replay.authorise(entry["at"])
        replay.apply(kind, event, entry["at"])
    expect(approvals, "the log does not say that anything of this release was sent")
    manifest = replay.sealed["document"]
    expect(sha256(bundle["claims"].encode()).hex() == manifest["claims_sha256"], "the CI claims are others")
    return manifest, approvals, size, bundle["names"]

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--key", required=True, help="the log's verifier key, from a place that you trust")
    parser.add_argument("--digest", help="SHA-256 of a file that has to be one of the release's")
    arguments = parser.parse_args()
    try:
        data = pathlib.Path(arguments.bundle).read_bytes()
        manifest, approvals, size, names = verify(data, LogKey(arguments.key))
        digests = [file["sha256"] for file in manifest["files"]]
        wanted = (arguments.digest or digests[0]).removeprefix("sha256:")
        expect(wanted in digests, f"the release was approved, but {wanted} is none of its files")
    except Exception as error:  # Whatever is wrong with it, it shows nothing.
        sys.exit(f"not shown: {error or type(error).__name__}")
    print(f"release {manifest['package']} {manifest['version']} to {manifest['destination']['url']}")
    print(*(f"file sha256:{file['sha256']} {file['name']}" for file in manifest["files"]), sep="\n")
    for decision, at in approvals:
        print(f"approved {at} by {decision['person']} {names.get(decision['person'], '')}")
    print(f"log of {size} entries\nthese bytes were approved before they were sent")

if __name__ == "__main__":
    main()
