#!/usr/bin/env python3
"""Checks the evidence of a release offline: who approved which bytes.

    verify.py evidence.json --key 'releases.example/log+id+base64' [--digest sha256:…]

Shares no code with the gateway and needs nothing but Python 3.9, `cryptography` and the two files beside it. Exits
with 0 only if the log with that key says that every file was approved before it was sent.
"""

import argparse
import base64
import pathlib
import sys

from cryptography.hazmat.primitives.asymmetric import ed25519

from governance import Governed
from rules import (SIGNERS, able, canonical, digest, expect, filled, find_key, is_hardware, met, named, places,
                   reference, sha256, signed, strict, when)

FORMAT = "countersign/evidence/v1"
ENDED = {"release_rejected": "rejected", "release_expired": "expired", "release_superseded": "superseded"}
TERMS = ("looked_at", "overrides", "reason", "no_author", "not_before", "embargo")

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
    """What was in force, and what was decided about one release."""

    def __init__(self, genesis, release):
        self.governed, self.release = Governed(genesis), release
        self.sealed, self.decisions, self.hold, self.ended, self.report = None, [], None, None, None

    def apply(self, kind, event, at):
        if event.get("release") == self.release:
            self.apply_own(kind, event, at)
        elif not self.governed.apply(kind, event, at):
            expect("release" in event, f"entries of the kind {kind} are not judged here")

    def apply_own(self, kind, event, at):
        if kind == "release_sealed":
            expect(self.sealed is None, "the release was sealed twice")
            manifest = strict(event["manifest"])
            ours = manifest["release"] == self.release and manifest["instance"] == self.governed.instance
            expect(ours and manifest["format"] == "countersign/manifest/v1", "the manifest is another's")
            policy = self.policy(manifest)
            under = (event["policy"], event["policy_revision"])
            expect(under == (policy["id"], policy["revision"]), "sealed under another policy")
            expect(when(event["expires_at"]) == when(at, policy["expiry_secs"]), "the seal expires at another time")
            self.sealed = {**event, "document": manifest, "rule": policy}
        elif kind == "release_inspected":
            expect(self.sealed, "a report came before the seal")
            self.report = event
        elif kind == "decided":
            expect(self.sealed, "a decision came before the seal")
            roster, policy = self.governed.roster, self.policy(self.sealed["document"])
            self.decisions.append((event["decision"], at, roster, policy, self.report))
        elif kind in ("release_held", "release_resumed"):
            self.hold = kind == "release_held"
        elif kind in ENDED:
            self.ended = ENDED[kind]

    def policy(self, manifest):
        return self.governed.policies[self.governed.packages[manifest["package_id"]]["policy"]]

    def authorise(self, at):
        """Returns the approvals that count, or says why nothing may be sent."""
        expect(self.sealed, "the release is not sealed")
        expect(self.ended is None, f"the release is {self.ended}")
        expect(when(at) < when(self.sealed["expires_at"]), "the release expired")
        governed, manifest = self.governed, self.sealed["document"]
        scopes = ("everything", {"package": manifest["package_id"]})
        expect(not any(scope in governed.frozen for scope in scopes), "releases are frozen")
        upstream = governed.upstreams[governed.packages[manifest["package_id"]]["upstream"]]
        goes = {"upstream": upstream["id"], "url": upstream["url"]}
        expect(goes == manifest["destination"], "the destination changed")
        starter = self.starter()
        expect(not self.hold, "the release is on hold")
        rules = (self.sealed["rule"], self.policy(manifest))  # Both must hold.
        expect(self.report, "nobody looked inside")
        alone = all(max(self.least(rule), sum(n for n, _ in places(rule, self.found()))) == 1 for rule in rules)
        expect(governed.founded or alone, "the installation was not founded")
        votes = [(vote[0], vote[1], strict(vote[0]["statement"])) for vote in self.decisions if self.counts(*vote)]
        for policy in rules:
            may = able(governed.roster, named(policy), at, probation=True)
            rejections = [vote for vote, _, _ in votes if vote["verdict"] == "reject" and vote["person"] in may]
            expect(not rejections, "somebody rejected the release")
            counted = self.counted(policy, votes, starter, at)
            expect(self.goes(policy, counted, votes, at), "more approvals, or more time, were needed")
        return [(vote, time) for vote, time, _ in counted]

    def counted(self, policy, votes, starter, at):
        """The approvals that count under a policy, in the order of their times."""
        may = able(self.governed.roster, named(policy), at)
        if not policy["triggering_actor_counts"]:
            may.discard(starter)
        noted = self.found() and policy["note_on_findings"]
        return sorted((
            (vote, time, terms) for vote, time, terms in votes
            if vote["verdict"] == "approve" and vote["person"] in may and (terms["reason"] is not None or not noted)
            and (terms["no_author"] or policy["authors_count"])
        ), key=lambda vote: when(vote[1]))

    def goes(self, policy, counted, votes, at):
        """Whether the approvals meet the policy, or its embargo rule, and nothing has to be waited for."""
        found, embargo = self.found(), policy["embargo"]
        times = [when(terms["not_before"]) for vote, _, terms in votes
                 if vote["verdict"] == "approve" and terms["not_before"]]
        waits = any(time > when(at) for time in times)
        def cooled(votes, is_met, cooling):
            people, strong = set(), set()
            for vote, time, _ in votes:
                people.add(vote["person"])
                key = find_key(self.governed.roster, vote["assertion"]["credentialId"])[1]
                strong |= {vote["person"]} if is_hardware(policy, key) else set()
                if is_met(people, strong):
                    return when(time, cooling) <= when(at)
            return False
        cooling = policy["cooling_off_secs"]
        def enough(people, strong):
            members = people & set(policy["members"])
            return len(members) >= self.least(policy) and met(policy, found, people, strong)
        if not waits and cooled(counted, enough, cooling):
            return True
        under = [vote for vote in counted if vote[2]["embargo"]]
        def embargoed(people, _):
            return filled([(embargo["required"], embargo["people"])], people) == embargo["required"]
        in_time = embargo and (embargo["skips_schedule"] or not waits)
        return bool(in_time) and cooled(under, embargoed, 0 if embargo["skips_cooling_off"] else cooling)

    def starter(self):
        """The person who started the CI run; None for a declared bot."""
        actor, roster = self.sealed["started_by"], self.governed.roster
        people = [p["id"] for p in roster["people"] if actor in p["ci_identities"]]
        expect(people or actor in roster["bots"], "it is not settled who started the CI run")
        return people[0] if people else None

    def found(self):
        """Whether something was found, when it was sealed or when it was inspected."""
        return bool(self.sealed["document"]["findings"] or self.report["blocks"] or self.report["looks"])

    def least(self, policy):
        """A block is overridden by a second person too, unless the policy names only one who could."""
        could = set(policy["members"])
        if not policy["triggering_actor_counts"]:
            could.discard(self.starter())
        return 2 if self.report["blocks"] and len(could) > 1 else 1

    def answers(self, decision, report):
        """Whether an approval ticks and overrides exactly what the last report asks for."""
        if decision["verdict"] == "reject":
            return True
        statement = strict(decision["statement"])
        overridden = [it["finding"] for it in statement["overrides"] if any(c > " " for c in it["words"])]
        return (
            report is not None and report["report_sha256"] == self.report["report_sha256"]
            and sorted(statement["looked_at"]) == sorted(self.report["looks"])
            and sorted(overridden) == sorted(self.report["blocks"]) and len(overridden) == len(statement["overrides"])
        )

    def counts(self, decision, at, roster, policy, report):
        """Whether a decision is about this release, by a key that counted then and counts now."""
        expected = self.statement(decision, roster, policy, report)
        if not self.answers(decision, report):
            return False
        if canonical(expected).decode() != decision["statement"] or when(at) >= when(self.sealed["expires_at"]):
            return False
        credential = decision["assertion"]["credentialId"]
        (person, key), (now, key_now) = find_key(roster, credential), find_key(self.governed.roster, credential)
        if person is None or now is None or person["id"] != decision["person"] or now["id"] != person["id"]:
            return False
        in_time = decision["verdict"] == "reject" or when(key["counts_from"]) <= when(at)
        then = in_time and person["id"] in named(policy) and person["role"] in SIGNERS
        same = key_now["public_key"] == key["public_key"]
        return then and same and signed(self.governed.origin, key["public_key"], decision, decision["verdict"])

    def statement(self, decision, roster, policy, report):
        """The statement that this person would be shown."""
        manifest, npm = self.sealed["document"], self.sealed["document"]["npm"] or {}
        return {
            "format": "countersign/statement/v1",
            "origin": self.governed.origin,
            "decision": decision["verdict"],
            "person": decision["person"],
            **{name: manifest[name] for name in ("release", "ecosystem", "package", "version", "destination")},
            **{name: npm.get(name) for name in ("dist_tag", "access")},
            "files": [{m: file[m] for m in ("name", "size_bytes", "sha256")} for file in manifest["files"]],
            "manifest_sha256": sha256(self.sealed["manifest"].encode()).hex(),
            "report_sha256": report["report_sha256"] if report and decision["verdict"] == "approve" else None,
            "policy": reference(policy),
            "roster": {"revision": roster["revision"], "sha256": digest(roster)},
            **{name: strict(decision["statement"]).get(name) for name in TERMS},
            "not_after": self.sealed["expires_at"],
        }

def verify(data, key):
    """Returns the manifest, the approvals that counted, and the size of the log."""
    bundle = strict(data)
    expect(bundle.get("format") == FORMAT, f"expected an evidence bundle of format {FORMAT}")
    expect(canonical(bundle) == data, "the bundle was changed: it is not in the encoding that gateways write")
    unsigned = digest({**bundle, "signature": ""})
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
    expect(sha256(bundle["report"].encode()).hex() == replay.report["report_sha256"], "the report is another")
    return manifest, approvals, size, bundle["names"]

def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("bundle")
    parser.add_argument("--key", required=True, help="the log's verifier key, from a place that you trust")
    parser.add_argument("--digest", help="SHA-256 of a file that has to be one of the release's")
    arguments = parser.parse_args()
    try:
        manifest, approvals, size, names = verify(pathlib.Path(arguments.bundle).read_bytes(), LogKey(arguments.key))
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
