"""People, rules and places as the entries of a log put them in force.

Until the founding, entries about them are taken as they come. Founders sign what is set up then, and afterwards only
proposals change it that have the signatures they take. Judged is what decides who may release; guards that only keep
an installation usable are left to the gateway.
"""

import copy
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import ed25519

from rules import (SIGNERS, able, canonical, digest, expect, find_key, is_hardware, met, named, reference, sha256,
                   signed, strict, unpadded, when, within)

RANKS = ("viewer", "maintainer", "owner")
TAKES = ("one_signature", "quorum", "quorum_and_delay")
PROBATION, HOUR, LIFETIME = 72 * 3600, 3600, 14 * 24 * 3600
SET_UP = ("roster_revised", "policy_revised", "upstream_revised", "package_revised", "issuer_revised",
          "publisher_revised", "publisher_removed", "credential_sealed")
OWN = ("revoke_key", "remove_person", "link_identity", "add_key")

class Governed:
    """What is in force after the entries so far."""

    def __init__(self, genesis):
        self.origin, self.instance = genesis["origin"], genesis["instance"]
        self.roster, self.policies, self.packages, self.upstreams, self.issuers, self.publishers = None, {}, {}, {}, {}, {}
        self.put = self.founders = self.founded = None
        self.proposals, self.frozen = {}, []

    def apply(self, kind, event, at):
        """Takes an entry; False when it is of no kind that is known here."""
        expect(kind != "genesis", "there is a second genesis entry")
        if kind in SET_UP:
            expect(not self.founded, "something changed after the founding without a proposal")
            self.set_up(kind, event)
            self.put = None
        elif kind == "founding_proposed":
            self.put_founding(event["founding"])
        elif kind == "founding_signed":
            self.sign_founding(event["decision"], at)
        elif kind == "proposed":
            proposal = event["proposal"]
            fits = self.founded and proposal["instance"] == self.instance and proposal["id"] not in self.proposals
            in_time = when(proposal["expires_at"]) <= when(at, LIFETIME)
            expect(fits and in_time and proposal["format"] == "countersign/proposal/v1", "a proposal is another's")
            self.proposals[proposal["id"]] = {"proposal": proposal, "at": at, "votes": [], "recovered": None}
        elif kind == "proposal_decided":
            self.vote(self.proposals[event["proposal"]], event["decision"], at)
        elif kind == "proposal_recovered":
            self.recover(self.proposals[event["proposal"]], event["signature"], at)
        elif kind == "proposal_enacted":
            self.enact(self.proposals.pop(event["proposal"]), at)
        elif kind == "proposal_ended":
            self.proposals.pop(event["proposal"], None)
        elif kind == "key_suspended":
            self.revise(lambda roster: self.revoke(roster, event["credential_id"]))
            self.put = None
        else:
            return False
        return True

    def set_up(self, kind, event):
        if kind == "roster_revised":
            expected = self.roster["revision"] + 1 if self.roster else 1
            expect(event["roster"]["revision"] == expected, "a roster revision is missing")
            self.roster = event["roster"]
        elif kind == "policy_revised":
            self.set_policy(event["policy"])
        elif kind == "publisher_removed":
            self.publishers.pop(event["publisher"], None)
        elif kind != "credential_sealed":
            self.set_record(kind.split("_")[0], event)

    def set_policy(self, policy):
        expected = self.policies[policy["id"]]["revision"] + 1 if policy["id"] in self.policies else 1
        expect(policy["revision"] == expected, "a policy revision is missing")
        self.policies[policy["id"]] = policy

    def set_record(self, what, change):
        {"upstream": self.upstreams, "package": self.packages, "issuer": self.issuers, "publisher": self.publishers}[what][
            change[what]["id"]] = change[what]

    def put_founding(self, founding):
        """An owner puts before the founders what is set up; at least as many sign as any package asks for."""
        listed = {name: [records[one] for one in sorted(records)] for name, records in (
            ("policies", self.policies), ("upstreams", self.upstreams), ("packages", self.packages),
            ("issuers", self.issuers), ("publishers", self.publishers))}
        expect(not self.founded and founding["instance"] == self.instance and founding["origin"] == self.origin
               and founding["roster"] == self.roster and all(founding[name] == listed[name] for name in listed),
               "the founding is not what was set up")
        expect(24 * HOUR <= founding["delay_secs"] <= 336 * HOUR, "the delay of the founding is out of bounds")
        strictest = max((self.policies[package["policy"]]["required"] for package in self.packages.values()), default=1)
        expect(self.policies[founding["governing"]]["required"] >= strictest, "too few founders would sign")
        self.put, self.founders = founding, []

    def sign_founding(self, decision, at):
        expect(self.put, "somebody signed a founding that was not proposed")
        statement = {"format": "countersign/founding-statement/v1", "person": decision["person"], "founding": self.put}
        expect(decision["verdict"] == "approve", "a founder objects")
        self.founders.append((decision["person"], self.check(decision, statement, at), at))
        policy = self.policies[self.put["governing"]]
        if self.met_at(policy, self.founders, able(self.roster, policy["members"], at), at):
            self.founded, self.put = self.put, None

    def check(self, decision, statement, at):
        """The key of a signature about governance, which counts now, over exactly this statement."""
        person, key = find_key(self.roster, decision["assertion"]["credentialId"])
        expect(key and person["id"] == decision["person"] and person["role"] in SIGNERS, "the key is nobody's")
        expect(decision["verdict"] == "reject" or when(key["counts_from"]) <= when(at), "the key is on probation")
        expect(canonical(statement).decode() == decision["statement"], "a statement is about something else")
        expect(signed(self.origin, key["public_key"], decision, "governance"), "a signature does not verify")
        return key["credential_id"]

    def vote(self, waiting, decision, at):
        proposal = waiting["proposal"]
        roster = {"revision": self.roster["revision"], "sha256": digest(self.roster)}
        policies = [reference(policy) for policy in self.touched(proposal)]
        expect(when(at) >= when(waiting["at"]), "a signature is older than its proposal")
        statement = {
            "format": "countersign/proposal-statement/v1", "origin": self.origin, "decision": decision["verdict"],
            "person": decision["person"], "proposal": proposal, "takes": TAKES[self.takes(proposal)],
            "policies": policies, "roster": roster, "reason": strict(decision["statement"])["reason"],
        }
        key = self.check(decision, statement, at)
        waiting["votes"].append((decision["person"], key, at, decision["verdict"]))

    def recover(self, waiting, signature, at):
        kinds = {change["change"] for change in waiting["proposal"]["changes"]}
        expect(kinds <= {"add_key", "revoke_key"}, "a recovery changes more than keys")
        text = b"countersign/recovery/v1\0" + sha256(canonical(waiting["proposal"]))
        key = ed25519.Ed25519PublicKey.from_public_bytes(unpadded(self.founded["recovery"]))
        key.verify(unpadded(signature), text)
        waiting["recovered"] = at

    def enact(self, waiting, at):
        proposal, recovered = waiting["proposal"], waiting["recovered"]
        takes, subjects = self.takes(proposal), {change.get("person") for change in proposal["changes"]}
        everybody = [person["id"] for person in self.roster["people"]]
        votes = [v for v in waiting["votes"] if (find_key(self.roster, v[1])[0] or {"id": None})["id"] == v[0]]
        objectors = able(self.roster, everybody, at, probation=True) - subjects
        expect(not any(v[3] == "reject" and v[0] in objectors for v in votes), "somebody objected to a proposal")
        expect(when(at) < when(proposal["expires_at"]), "a proposal took effect too late")
        votes = [v[:3] for v in votes if v[3] == "approve"]
        if takes == 0 and not recovered:
            count = able(self.roster, [proposal["by"]], at)
            expect(any(vote[0] in count for vote in votes), "nobody signed a proposal")
        else:
            count = [able(self.roster, policy["members"], at) - subjects for policy in self.touched(proposal)]
            times = [self.met_at(*ruled, at) for ruled in zip(self.touched(proposal), [votes] * len(count), count)]
            times = [recovered] if recovered else times
            expect(all(times), "a proposal took effect without its quorum")
            delay = self.founded["delay_secs"] if takes == 2 or recovered else 0
            expect(max(when(time, delay) for time in times) <= when(at), "a proposal took effect too early")
        self.revise(lambda roster: [self.carry_out(change, roster, at) for change in proposal["changes"]])

    def met_at(self, policy, votes, count, at):
        """When the vote came that met a policy; None before."""
        people, strong = set(), set()
        for person, credential, time in votes:
            if person in count:
                people.add(person)
                strong |= {person} if is_hardware(policy, find_key(self.roster, credential)[1]) else set()
            if met(policy, False, people, strong):
                return time
        return None

    def takes(self, proposal):
        return max(self.change_takes(proposal["by"], change) for change in proposal["changes"])

    def change_takes(self, by, change):
        """One signature, a quorum, or a quorum and a delay: as a place in TAKES."""
        kind = change["change"]
        if kind in ("freeze", "remove_publisher") or kind in OWN and change["person"] == by:
            return 0
        if kind in ("revoke_key", "remove_person", "link_identity", "unlink_identity"):
            return 1
        if kind == "change_role":
            now = [person["role"] for person in self.roster["people"] if person["id"] == change["person"]]
            return 1 if now and RANKS.index(change["role"]) <= RANKS.index(now[0]) else 2
        if kind == "set_policy":
            old = self.policies.get(change["policy"]["id"])
            return 1 if not old or within(change["policy"], old) else 2
        known = {"set_upstream": self.upstreams, "set_package": self.packages}.get(kind)
        return 2 if known is None or change[kind[4:]]["id"] in known else 1

    def touched(self, proposal):
        """The governing policy and every other one that a proposal touches."""
        ids = {one for change in proposal["changes"] for one in self.touches(change)}
        governing = self.founded["governing"]
        return [self.policies[one] for one in [governing] + sorted(ids - {governing}) if one in self.policies]

    def touches(self, change):
        kind, used = change["change"], self.packages
        if kind == "set_policy":
            return {change["policy"]["id"]}
        if kind in ("remove_publisher", "freeze"):
            return set()
        if kind == "set_issuer":  # None of a new one's workloads is a publisher yet.
            return {p["policy"] for p in used.values()} if change["issuer"]["id"] in self.issuers else set()
        if kind in ("set_upstream", "set_credential"):
            upstream = change["upstream"] if kind == "set_credential" else change["upstream"]["id"]
            return {package["policy"] for package in used.values() if package["upstream"] == upstream}
        packages = None
        if kind == "set_package":
            packages = [change["package"]["id"]]
        elif kind == "unfreeze":
            packages = list(used) if change["scope"] == "everything" else [change["scope"]["package"]]
        elif kind == "set_publisher":
            old = self.publishers.get(change["publisher"]["id"], {"packages": []})
            packages = change["publisher"]["packages"] + old["packages"]
        if packages is not None:
            return {used[one]["policy"] for one in packages if one in used}
        person = change.get("person") or self.owner(change.get("identity"))
        return {one for one, policy in self.policies.items() if person in named(policy)}

    def owner(self, identity):
        return next((p["id"] for p in self.roster["people"] if identity in p["ci_identities"]), None)

    def revise(self, change):
        """Changes the people; a roster that is another one gets the next revision."""
        roster = copy.deepcopy(self.roster)
        change(roster)
        roster["people"].sort(key=lambda person: person["id"])
        if roster != self.roster:
            self.roster = {**roster, "revision": self.roster["revision"] + 1}

    def revoke(self, roster, credential, of=None):
        person, key = find_key(roster, credential)
        expect(key and of in (None, person["id"]), "a key was revoked that is not there")
        person["keys"].remove(key)

    def carry_out(self, change, roster, at):
        kind = change["change"]
        person = next((p for p in roster["people"] if p["id"] == change.get("person")), None)
        if kind == "add_person":
            expect(person is None, "somebody joined twice")
            roster["people"].append({"id": change["person"], "role": change["role"], "keys": [], "ci_identities": []})
        elif kind == "change_role":
            person["role"] = change["role"]
        elif kind == "remove_person":
            roster["people"].remove(person)
        elif kind == "add_key":
            expect(find_key(roster, change["key"]["credential_id"])[1] is None, "a key joined twice")
            person["keys"].append({**change["key"], "counts_from": latest(change["key"]["counts_from"], at)})
        elif kind == "revoke_key":
            self.revoke(roster, change["credential_id"], change["person"])
        elif kind == "link_identity":
            identities = person["ci_identities"] if person else roster["bots"]
            identities.append(change["identity"])
            identities.sort(key=lambda identity: (identity["issuer"], identity["actor_id"]))
        elif kind == "unlink_identity":
            for identities in [roster["bots"]] + [p["ci_identities"] for p in roster["people"]]:
                identities[:] = [identity for identity in identities if identity != change["identity"]]
        elif kind == "set_policy":
            self.set_policy(change["policy"])
        elif kind in ("set_upstream", "set_package", "set_issuer", "set_publisher"):
            self.set_record(kind[4:], change)
        elif kind == "remove_publisher":
            self.publishers.pop(change["publisher"])
        elif kind == "freeze":
            self.frozen.append(change["scope"])
        elif kind == "unfreeze":
            self.frozen.remove(change["scope"])
        else:
            expect(kind == "set_credential", f"changes of the kind {kind} are not judged here")

def latest(counts_from, at):
    """From when a key approves: the time in it, and a probation after it joined at the earliest."""
    whole, _, fraction = at.rstrip("Z").partition(".")
    end = (datetime.fromisoformat(whole) + timedelta(seconds=PROBATION)).isoformat()
    end += ("." + fraction if fraction else "") + "Z"
    return counts_from if when(counts_from) >= when(end) else end
