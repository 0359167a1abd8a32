#!/usr/bin/env python3
"""Checks the evidence of a release offline: who approved which bytes.

    verify.py evidence.json --key 'releases.example/log+id+base64' [--digest sha256:…]

Shares no code with the gateway and needs nothing but Python 3.9 and `cryptography`. Exits with 0 only if the log with
that key says that every file was approved before it was sent. `verify` at the end opens the log and gives its entries
to a `Replay`, which keeps what is in force and makes the publish decision again wherever something was sent.
"""
import argparse, base64, copy, hashlib, json, pathlib, sys
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.hashes import SHA256

FORMAT, DAY = "countersign/evidence/v1", 24 * 3600
RANKS, TAKES = ("viewer", "maintainer", "owner"), ("one_signature", "quorum", "quorum_and_delay")
RECORDS = {"policy": "policies", "upstream": "upstreams", "package": "packages", "issuer": "issuers",
           "publisher": "publishers"}

def expect(condition, message):
    if not condition:
        raise ValueError(message)

def sha256(data):
    return hashlib.sha256(data).digest()

def canonical(value):
    """The encoding of every document: no white space, members in their order."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()

def digest(value):
    return sha256(canonical(value)).hex()

def strict(data):
    """JSON whose objects have no member twice."""
    def members(pairs):
        expect(len(dict(pairs)) == len(pairs), "a member appears twice")
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

def find_key(roster, credential):
    keys = ((person, key) for person in roster["people"] for key in person["keys"])
    return next((found for found in keys if found[1]["credential_id"] == credential), ({"id": None}, None))

def able(roster, people, at, probation=False):
    """Those who may sign and hold a key that counts; one on probation is enough to object."""
    signers = [p for p in roster["people"] if p["id"] in people and p["role"] != "viewer"]
    return {p["id"] for p in signers if any(probation or when(key["counts_from"]) <= when(at) for key in p["keys"])}

def named(policy):
    return policy["members"] + (policy["embargo"]["people"] if policy["embargo"] else [])

def reference(policy):
    return {"id": policy["id"], "revision": policy["revision"], "sha256": digest(policy),
            "required": policy["required"]}

def filled(places, people):
    """How many places these people fill, one each, of so many of whom: augmenting paths."""
    seats, taken = [who for asked, who in places for _ in range(asked)], {}
    def seat(person, tried):
        for n in (n for n, who in enumerate(seats) if person in who and n not in tried):
            tried.add(n)
            if n not in taken or seat(taken[n], tried):
                taken[n] = person
                return True
        return False
    return sum(seat(person, set()) for person in people)

def places(policy, found):
    """How many of whom: the groups, and the rest of what is required of everybody named."""
    groups = [(group["required"], group["people"]) for group in policy["groups"]]
    required = policy["required"] + found * policy["more_on_findings"]
    return groups + [(required - sum(asked for asked, _ in groups), policy["members"])]

def met_at(policy, votes, found=False, at_least=1):
    """When the vote came that met a policy, of (person, key, time) in the order of times; None when none did."""
    wanted, hardware, people, strong = places(policy, found), policy["hardware"], set(), set()
    for person, key, time in votes:
        people.add(person)
        made = key["authenticator"]
        if hardware and made["attested"] and not made["synced"] and made["aaguid"] in (
                hardware["models"] or [made["aaguid"]]):
            strong.add(person)
        if filled(wanted, people) == sum(asked for asked, _ in wanted) and len(
                people & set(policy["members"])) >= at_least and (
                not hardware or filled(wanted, strong) >= hardware["required"]):
            return time
    return None

def within(new, old):
    """Whether whatever satisfies the new policy satisfies the old one, no sooner and no later."""
    def fill_at_least(count, ours, theirs):
        """The fewest of their places that people fill who fill so many of ours."""
        def left(chosen):
            outside = [who for who in new["members"] if not any(who in theirs[n][1] for n in chosen)]
            others = sum(asked for n, (asked, _) in enumerate(theirs) if n not in chosen)
            return others + max(0, count - filled(ours, outside))
        return min(left([n for n in range(len(theirs)) if bits >> n & 1]) for bits in range(1 << len(theirs)))
    mine, hard = new["hardware"], old["hardware"]
    for found in (False, True):
        ours, theirs = ([place for place in places(policy, found) if place[0] > 0] for policy in (new, old))
        if fill_at_least(sum(asked for asked, _ in ours), ours, theirs) < sum(asked for asked, _ in theirs):
            return False
        if hard and not (mine and (hard["models"] is None or set(mine["models"] or ["any"]) <= set(hard["models"]))
                         and fill_at_least(mine["required"], ours, theirs) >= hard["required"]):
            return False
    mine, rule = new["embargo"], old["embargo"]
    looser = ("skips_cooling_off", "skips_schedule")
    embargo = not mine or rule and mine["required"] >= rule["required"] and set(mine["people"]) <= set(
        rule["people"]) and all(mine[name] <= rule[name] for name in looser)
    return bool(embargo) and (
        new["cooling_off_secs"] >= old["cooling_off_secs"] and new["note_on_findings"] >= old["note_on_findings"]
        and all(new[it] <= old[it] for it in ("expiry_secs", "triggering_actor_counts", "authors_count")))

def signed(origin, public_key, decision, purpose):
    """Whether the assertion is this key's, over exactly this statement (Web Authentication 7.2)."""
    assertion, text = decision["assertion"], decision["statement"]
    if decision["batch"] is not None:  # One touch for several releases, each by its statement's digest.
        batch = strict(decision["batch"])
        fits = (purpose, batch["format"], batch["person"], canonical(batch).decode()) == (
            "approve", "countersign/batch/v1", decision["person"], decision["batch"])
        if not fits or sha256(text.encode()).hex() not in [item["statement_sha256"] for item in batch["releases"]]:
            return False
        purpose, text = "approve-batch", decision["batch"]
    challenge = sha256(f"countersign/{purpose}/v1\0".encode() + unpadded(decision["nonce"]) + sha256(text.encode()))
    client_data, data = unpadded(assertion["clientDataJSON"]), unpadded(assertion["authenticatorData"])
    client, host = strict(client_data), origin.split("://")[1].rsplit(":", 1)[0]
    present, verified, eligible, backed_up, attested, extended = (data[32] >> bit & 1 for bit in (0, 2, 3, 4, 6, 7))
    fits = (
        client["type"] == "webauthn.get" and unpadded(client["challenge"]) == challenge
        and client["origin"] == origin and data[:32] == sha256(host.encode())
        and client.get("crossOrigin", False) is False and "topOrigin" not in client
        and present and verified and eligible >= backed_up and not attested and extended == (len(data) > 37))
    cose = unpadded(public_key)
    key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + cose[10:42] + cose[45:])
    try:
        key.verify(unpadded(assertion["signature"]), data + sha256(client_data), ec.ECDSA(SHA256()))
    except InvalidSignature:
        return False
    return fits

class LogKey:
    """A verifier key, `name+id+base64` (docs/log.md)."""
    def __init__(self, text):
        self.name, key_id, encoded = text.split("+", 2)
        data = base64.b64decode(encoded, validate=True)
        self.id = sha256(self.name.encode() + b"\n" + data)[:4]
        expect(len(data) == 33 and data[0] == 1 and self.id.hex() == key_id, "expected an Ed25519 verifier key")
        self.public = ed25519.Ed25519PublicKey.from_public_bytes(data[1:])

    def check(self, text, lines):
        """One of the signature lines is this key's over the text."""
        own = [line for line in lines if line.startswith(f"\u2014 {self.name} ")]
        own = [base64.b64decode(line.rsplit(" ", 1)[1], validate=True) for line in own]
        own = [signature[4:] for signature in own if signature[:4] == self.id]
        expect(own, f"not signed by the log {self.name}")
        for signature in own:
            self.public.verify(signature, text.encode())

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

class Replay:
    """What is in force after the entries so far, and what was decided about one release. Each `on_` takes an entry of
    that kind. Guards that only keep an installation usable are left to the gateway."""
    def __init__(self, genesis, release):
        self.origin, self.instance, self.release = genesis["origin"], genesis["instance"], release
        self.roster, self.records = {"revision": 0, "people": [], "bots": []}, {what: {} for what in RECORDS}
        self.put = self.founded = self.sealed = self.report = self.ended = None
        self.founders, self.proposals, self.frozen, self.decisions, self.held = [], {}, [], [], False

    def apply(self, kind, event, at):
        if event.get("release", self.release) == self.release:
            what = kind.removesuffix("_revised")
            if what in (*RECORDS, "roster", "publisher_removed", "credential_sealed"):
                expect(not self.founded, "something changed after the founding without a proposal")
                self.put, kind = None, "set_up"
                self.set_up(what, event)
            elif hasattr(self, "on_" + kind):
                getattr(self, "on_" + kind)(event, at)
            else:
                expect("release" in event, f"entries of the kind {kind} are not judged here")

    def set_up(self, what, event):
        """Until the founding, what owners set up is taken as it comes."""
        if what == "roster":
            expect(event["roster"]["revision"] == self.roster["revision"] + 1, "a roster revision is missing")
            self.roster = event["roster"]
        elif what == "publisher_removed":
            self.records["publisher"].pop(event["publisher"], None)
        elif what != "credential_sealed":
            self.set_record(what, event[what])

    def set_record(self, what, record):
        known = self.records[what].get(record["id"], {"revision": 0})
        expect(what != "policy" or record["revision"] == known["revision"] + 1, "a policy revision is missing")
        self.records[what][record["id"]] = record

    def on_founding_proposed(self, event, at):
        """An owner puts before the founders what is set up; at least as many sign as any package asks for."""
        founding, policies = event["founding"], self.records["policy"]
        listed = {RECORDS[what]: [kept[one] for one in sorted(kept)] for what, kept in self.records.items()}
        listed.update(instance=self.instance, origin=self.origin, roster=self.roster)
        same = all(founding[name] == value for name, value in listed.items())
        expect(same and not self.founded, "the founding is not what was set up")
        expect(DAY <= founding["delay_secs"] <= 14 * DAY, "the delay of the founding is out of bounds")
        strictest = max((policies[it["policy"]]["required"] for it in self.records["package"].values()), default=1)
        expect(policies[founding["governing"]]["required"] >= strictest, "too few founders would sign")
        self.put, self.founders = founding, []

    def on_founding_signed(self, event, at):
        decision = event["decision"]
        statement = {"format": "countersign/founding-statement/v1", "person": decision["person"], "founding": self.put}
        expect(self.put and decision["verdict"] == "approve", "a founding was not proposed, or a founder objects")
        self.founders.append(self.govern(decision, statement, at))
        policy = self.records["policy"][self.put["governing"]]
        if met_at(policy, self.counting(self.founders, able(self.roster, policy["members"], at))):
            self.founded, self.put = self.put, None

    def govern(self, decision, statement, at):
        """A signature about governance by a key that counts now, over exactly this statement."""
        person, key = find_key(self.roster, decision["assertion"]["credentialId"])
        expect(person["id"] == decision["person"] and person["role"] != "viewer", "the key is nobody's")
        expect(decision["verdict"] == "reject" or when(key["counts_from"]) <= when(at), "the key is on probation")
        expect(canonical(statement).decode() == decision["statement"], "a statement is about something else")
        expect(signed(self.origin, key["public_key"], decision, "governance"), "a signature does not verify")
        return decision["person"], key["credential_id"], at, decision["verdict"]

    def counting(self, cast, people, verdict="approve"):
        """The votes of these people whose key is theirs still."""
        keys = [(find_key(self.roster, vote[1]), vote) for vote in cast if vote[0] in people and vote[3] == verdict]
        return [(vote[0], key, vote[2]) for (holder, key), vote in keys if holder["id"] == vote[0]]

    def on_proposed(self, event, at):
        proposal, ours = event["proposal"], ("countersign/proposal/v1", self.instance)
        expect(self.founded and (proposal["format"], proposal["instance"]) == ours
               and proposal["id"] not in self.proposals
               and when(proposal["expires_at"]) <= when(at, 14 * DAY), "a proposal is another's")
        self.proposals[proposal["id"]] = {"proposal": proposal, "at": at, "votes": [], "recovered": None}

    def on_proposal_decided(self, event, at):
        decision, waiting = event["decision"], self.proposals[event["proposal"]]
        proposal, said = waiting["proposal"], strict(decision["statement"])
        expect(when(at) >= when(waiting["at"]), "a signature is older than its proposal")
        waiting["votes"].append(self.govern(decision, {
            "format": "countersign/proposal-statement/v1", "origin": self.origin, "decision": decision["verdict"],
            "person": decision["person"], "proposal": proposal, "takes": TAKES[self.takes(proposal)],
            "policies": [reference(policy) for policy in self.touched(proposal)],
            "roster": {"revision": self.roster["revision"], "sha256": digest(self.roster)}, "reason": said["reason"],
        }, at))

    def on_proposal_recovered(self, event, at):
        """The offline key of the founding stands for a quorum where keys are lost, and for nothing else."""
        waiting = self.proposals[event["proposal"]]
        kinds = {change["change"] for change in waiting["proposal"]["changes"]}
        expect(kinds <= {"add_key", "revoke_key"}, "a recovery changes more than keys")
        key = ed25519.Ed25519PublicKey.from_public_bytes(unpadded(self.founded["recovery"]))
        key.verify(unpadded(event["signature"]), b"countersign/recovery/v1\0" + sha256(canonical(waiting["proposal"])))
        waiting["recovered"] = at

    def on_proposal_ended(self, event, at):
        self.proposals.pop(event["proposal"], None)

    def on_proposal_enacted(self, event, at):
        waiting = self.proposals.pop(event["proposal"])
        proposal, recovered = waiting["proposal"], waiting["recovered"]
        takes, policies = self.takes(proposal), self.touched(proposal)
        subjects = {change.get("person") for change in proposal["changes"]}  # They neither vote nor object.
        everybody = [person["id"] for person in self.roster["people"]]
        objectors = able(self.roster, everybody, at, probation=True) - subjects
        expect(not self.counting(waiting["votes"], objectors, "reject"), "somebody objected to a proposal")
        expect(when(at) < when(proposal["expires_at"]), "a proposal took effect too late")
        if takes == 0 and not recovered:
            times = [vote[2] for vote in self.counting(waiting["votes"], able(self.roster, [proposal["by"]], at))]
        else:
            may = [able(self.roster, policy["members"], at) - subjects for policy in policies]
            times = [met_at(*it) for it in zip(policies, (self.counting(waiting["votes"], who) for who in may))]
        times = [recovered] if recovered else times
        expect(times and all(times), "a proposal took effect without the signatures that it takes")
        delay = self.founded["delay_secs"] if takes == 2 or recovered else 0
        expect(max(when(time, delay) for time in times) <= when(at), "a proposal took effect too early")
        self.revise(proposal["changes"], at)

    def on_key_suspended(self, event, at):
        """An alarm about a copied key; it only takes away. Before the founding it changes what founders sign."""
        person, _ = find_key(self.roster, event["credential_id"])
        self.put = None
        self.revise([{"change": "revoke_key", "person": person["id"], **event}], at)

    def on_key_enrolled_beside(self, event, at):
        """Somebody else was signed in where a key was enrolled. It is told to people and decides nothing."""

    def judge(self, by, change):
        """What a change takes, as a place in TAKES, and the policies whose people it concerns."""
        kind, who, used = change["change"], change.get("person"), self.records["package"].values()
        if kind in ("freeze", "remove_publisher"):
            return 0, []
        if kind == "unfreeze":
            return 2, [it["policy"] for it in used if change["scope"] in ("everything", {"package": it["id"]})]
        if kind == "set_credential":
            return 2, [it["policy"] for it in used if it["upstream"] == change["upstream"]]
        if kind.startswith("set_"):
            what, new = kind[4:], change[kind[4:]]
            old = self.records[what].get(new["id"])
            concerned = {
                "policy": lambda it: it["policy"] == new["id"], "package": lambda it: it["id"] == new["id"],
                "upstream": lambda it: it["upstream"] == new["id"], "issuer": lambda it: old,
                "publisher": lambda it: it["id"] in new["packages"] + (old or new)["packages"]}[what]
            new_policy = [new["id"]] if what == "policy" else []
            tighter = what == "policy" and old and within(new, old)
            takes = 1 if tighter or what in ("policy", "upstream", "package") and not old else 2
            return takes, new_policy + [it["policy"] for it in used if concerned(it)]
        roster = {person["id"]: person for person in self.roster["people"]}
        if kind == "unlink_identity":
            who = next((id for id, person in roster.items() if change["identity"] in person["ci_identities"]), None)
        rises = kind == "change_role" and (
            who not in roster or RANKS.index(roster[who]["role"]) < RANKS.index(change["role"]))
        own = who == by and kind in ("revoke_key", "remove_person", "link_identity", "add_key")
        takes = 0 if own else 2 if rises or kind in ("add_person", "add_key") else 1
        return takes, [id for id, policy in self.records["policy"].items() if who in named(policy)]

    def takes(self, proposal):
        return max(self.judge(proposal["by"], change)[0] for change in proposal["changes"])

    def touched(self, proposal):
        """The governing policy and every other one that a proposal touches."""
        ids = {one for change in proposal["changes"] for one in self.judge(proposal["by"], change)[1]}
        governing, policies = self.founded["governing"], self.records["policy"]
        return [policies[one] for one in [governing] + sorted(ids - {governing}) if one in policies]

    def revise(self, changes, at):
        """Carries changes out; a roster that is another one gets the next revision."""
        roster = copy.deepcopy(self.roster)
        for change in changes:
            self.carry_out(change, roster, at)
        roster["people"].sort(key=lambda person: person["id"])
        if roster != self.roster:
            self.roster = {**roster, "revision": self.roster["revision"] + 1}

    def carry_out(self, change, roster, at):
        kind, people = change["change"], roster["people"]
        person = next((known for known in people if known["id"] == change.get("person")), None)
        if kind == "add_person":
            expect(person is None, "somebody joined twice")
            people.append({"id": change["person"], "role": change["role"], "keys": [], "ci_identities": []})
        elif kind == "change_role":
            person["role"] = change["role"]
        elif kind == "remove_person":
            people.remove(person)
        elif kind == "add_key":
            key = change["key"]
            expect(find_key(roster, key["credential_id"])[1] is None, "a key joined twice")
            person["keys"].append({**key, "counts_from": max(key["counts_from"], later(at, 3 * DAY), key=when)})
        elif kind == "revoke_key":
            person["keys"].remove(find_key(roster, change["credential_id"])[1])
        elif kind == "link_identity":
            identities = person["ci_identities"] if person else roster["bots"]
            identities.append(change["identity"])
            identities.sort(key=lambda identity: (identity["issuer"], identity["actor_id"]))
        elif kind == "unlink_identity":
            for identities in [roster["bots"]] + [known["ci_identities"] for known in people]:
                identities[:] = [identity for identity in identities if identity != change["identity"]]
        elif kind == "remove_publisher":
            del self.records["publisher"][change["publisher"]]
        elif kind in ("freeze", "unfreeze"):
            (self.frozen.append if kind == "freeze" else self.frozen.remove)(change["scope"])
        elif kind != "set_credential":
            self.set_record(kind[4:], change[kind[4:]])

    def on_release_sealed(self, event, at):
        manifest = strict(event["manifest"])
        ours = (self.release, self.instance, "countersign/manifest/v1")
        expect(self.sealed is None and (manifest["release"], manifest["instance"], manifest["format"]) == ours,
               "the manifest is another's, or the release was sealed twice")
        self.sealed, self.manifest = event, manifest
        self.rule = policy = self.policy()
        expect((event["policy"], event["policy_revision"]) == (policy["id"], policy["revision"])
               and when(event["expires_at"]) == when(at, policy["expiry_secs"]), "sealed under another policy")

    def on_release_inspected(self, event, at):
        expect(self.sealed, "a report came before the seal")
        self.report = event

    def on_decided(self, event, at):
        self.decisions.append((event["decision"], at, self.roster, self.policy(), self.report))

    def on_release_held(self, event, at):
        self.held = True

    def on_release_resumed(self, event, at):
        self.held = False

    def end(self, event, at):
        self.ended = True

    on_release_rejected = on_release_expired = on_release_superseded = end

    def policy(self):
        return self.records["policy"][self.records["package"][self.manifest["package_id"]]["policy"]]

    def authorise(self, at):
        """Returns the approvals that count, or says why nothing may be sent."""
        expect(self.sealed and self.report and not self.ended and not self.held, "not sealed and inspected, or over")
        expect(when(at) < when(self.sealed["expires_at"]), "the release expired")
        manifest, package = self.manifest, self.records["package"][self.manifest["package_id"]]
        expect("everything" not in self.frozen and {"package": package["id"]} not in self.frozen, "it is frozen")
        upstream = self.records["upstream"][package["upstream"]]
        expect({"upstream": upstream["id"], "url": upstream["url"]} == manifest["destination"],
               "the destination changed")
        actor, votes = self.sealed["started_by"], [vote for vote in map(self.vote, self.decisions) if vote]
        starters = [person["id"] for person in self.roster["people"] if actor in person["ci_identities"]]
        expect(starters or actor in self.roster["bots"], "it is not settled who started the CI run")
        for policy in (self.rule, self.policy()):  # Both must hold.
            counted = self.released(policy, votes, starters, at)
        return counted

    def released(self, policy, votes, starters, at):
        """The approvals that count under a policy, which they meet, and nothing has to be waited for."""
        found = bool(self.manifest["findings"] or self.report["blocks"] or self.report["looks"])
        out = [] if policy["triggering_actor_counts"] else starters
        many = 2 if self.report["blocks"] and len(set(policy["members"]) - set(out)) > 1 else 1
        expect(self.founded or max(many, policy["required"] + found * policy["more_on_findings"]) == 1, "not founded")
        objectors = able(self.roster, named(policy), at, probation=True)
        expect(not any(verdict == "reject" and who in objectors for who, _, _, verdict, _ in votes), "it was rejected")
        may = able(self.roster, named(policy), at) - set(out)
        counted = sorted((vote for vote in votes if vote[3] == "approve" and vote[0] in may
                          and (vote[4]["reason"] is not None or not (found and policy["note_on_findings"]))
                          and (vote[4]["no_author"] or policy["authors_count"])), key=lambda vote: when(vote[2]))
        waits = any(when(terms["not_before"]) > when(at) for *_, verdict, terms in votes
                    if verdict == "approve" and terms["not_before"])
        met = met_at(policy, [vote[:3] for vote in counted], found, many)
        cooling, embargo = policy["cooling_off_secs"], policy["embargo"]
        goes = met and not waits and when(met, cooling) <= when(at)
        if embargo and not goes:
            rule = {**policy, **embargo, "members": embargo["people"], "groups": [], "hardware": None}
            met = met_at(rule, [vote[:3] for vote in counted if vote[4]["embargo"]])
            cooling = 0 if embargo["skips_cooling_off"] else cooling
            goes = met and (embargo["skips_schedule"] or not waits) and when(met, cooling) <= when(at)
        expect(goes, "more approvals, or more time, were needed")
        return counted

    def vote(self, cast):
        """Person, key, time, verdict and terms of a decision by a key that counted then and is there now; else None."""
        decision, at, roster, policy, report = cast
        said, verdict, npm = strict(decision["statement"]), decision["verdict"], self.manifest["npm"] or {}
        approves = verdict == "approve"
        overridden = [it["finding"] for it in said["overrides"] if any(letter > " " for letter in it["words"])]
        statement = {
            "format": "countersign/statement/v1", "origin": self.origin, "decision": verdict,
            "person": decision["person"],
            **{name: self.manifest[name] for name in ("release", "ecosystem", "package", "version", "destination")},
            "dist_tag": npm.get("dist_tag"), "access": npm.get("access"),
            "files": [{m: file[m] for m in ("name", "size_bytes", "sha256")} for file in self.manifest["files"]],
            "manifest_sha256": sha256(self.sealed["manifest"].encode()).hex(),
            "report_sha256": report["report_sha256"] if report and approves else None,
            "policy": reference(policy), "roster": {"revision": roster["revision"], "sha256": digest(roster)},
            **{name: said[name] for name in ("looked_at", "overrides", "reason", "no_author", "not_before", "embargo")},
            "not_after": self.sealed["expires_at"]}
        credential = decision["assertion"]["credentialId"]
        (person, key), (now, same) = find_key(roster, credential), find_key(self.roster, credential)
        answers = not approves or report is not None and report["report_sha256"] == self.report["report_sha256"] and (
            sorted(said["looked_at"]) == sorted(self.report["looks"]) and len(overridden) == len(said["overrides"])
            and sorted(overridden) == sorted(self.report["blocks"]))
        fits = (
            canonical(statement).decode() == decision["statement"] and when(at) < when(self.sealed["expires_at"])
            and person["id"] == now["id"] == decision["person"] and person["role"] != "viewer" and answers
            and person["id"] in named(policy) and (not approves or when(key["counts_from"]) <= when(at))
            and same["public_key"] == key["public_key"] and signed(self.origin, key["public_key"], decision, verdict))
        return (person["id"], same, at, verdict, said) if fits else None

def later(text, seconds):
    """A time as text, so many seconds later."""
    (time, fraction), dot = when(text, seconds), "." if "." in text else ""
    return f"{time.isoformat()}{dot}{fraction.rstrip('0') if dot else ''}Z"

def verify(data, key):
    """Returns the manifest, the approvals that counted, and the size of the log."""
    bundle = strict(data)
    expect(bundle.get("format") == FORMAT and canonical(bundle) == data,
           f"expected an evidence bundle of format {FORMAT}, in the encoding that gateways write")
    unsigned = digest({**bundle, "signature": ""})
    key.check(f"{FORMAT}\n{unsigned}\n", [bundle["signature"]])
    text, _, lines = bundle["checkpoint"].rpartition("\n\n")
    key.check(text + "\n", lines.splitlines())
    origin, size, root = text.splitlines()
    expect(origin == key.name, "the checkpoint is of another log")
    size, root = int(size), base64.b64decode(root, validate=True)
    replay, approvals, last = None, None, -1
    for proven in bundle["entries"]:
        entry = strict(proven["body"])
        event, at, sequence = entry["event"], entry["at"], entry["sequence"]
        kind, body = event["kind"], sha256(proven["body"].encode()).hex()
        leaf = canonical({"sequence": sequence, "at": at, "kind": kind, "sha256": body})
        found = included(size, root, sequence, leaf, [bytes.fromhex(node) for node in proven["proof"]])
        expect(found and sequence > last, f"entry {sequence} is not in the log, or not in order")
        if replay is None:
            expect(kind == "genesis" and sequence == 0, "the first entry is missing")
            expect(event["origin"].split("://")[1] + "/log" == key.name, "the entries are of another installation")
            replay = Replay(event, bundle["release"])
        else:
            if kind == "forward_started" and event["release"] == bundle["release"]:
                approvals = replay.authorise(at)
            replay.apply(kind, event, at)
        last = sequence
    expect(approvals, "the log does not say that anything of this release was sent")
    expect(sha256(bundle["claims"].encode()).hex() == replay.manifest["claims_sha256"], "the CI claims are others")
    expect(sha256(bundle["report"].encode()).hex() == replay.report["report_sha256"], "the report is another")
    return replay.manifest, approvals, size, bundle["names"]

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
    for person, _, at, *_ in approvals:
        print(f"approved {at} by {person} {names.get(person, '')}")
    print(f"log of {size} entries\nthese bytes were approved before they were sent")

if __name__ == "__main__":
    main()
