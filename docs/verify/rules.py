"""Encodings, signatures and policies: what verify.py and governance.py rest on."""

import base64
import hashlib
import json
from datetime import datetime, timedelta

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

BATCH = "countersign/batch/v1"
SIGNERS = ("owner", "maintainer")

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

def find_key(roster, credential):
    keys = ((person, key) for person in roster["people"] for key in person["keys"])
    return next((found for found in keys if found[1]["credential_id"] == credential), (None, None))

def able(roster, people, at, probation=False):
    """Those who may sign and hold a key that counts; one on probation is enough to object."""
    signers = [p for p in roster["people"] if p["id"] in people and p["role"] in SIGNERS]
    return {p["id"] for p in signers if any(probation or when(key["counts_from"]) <= when(at) for key in p["keys"])}

def named(policy):
    return policy["members"] + (policy["embargo"]["people"] if policy["embargo"] else [])

def reference(policy):
    names = ("id", "revision"), ("required",)
    first, last = ({name: policy[name] for name in part} for part in names)
    return {**first, "sha256": digest(policy), **last}

def places(policy, found):
    """How many of whom: the groups, and the rest of what is required of everybody named."""
    groups = [(group["required"], group["people"]) for group in policy["groups"]]
    required = policy["required"] + (policy["more_on_findings"] if found else 0)
    return groups + [(required - sum(asked for asked, _ in groups), policy["members"])]

def filled(wanted, people):
    """The most places that these people fill, one each: augmenting paths."""
    seats, taken = [who for asked, who in wanted for _ in range(asked)], {}
    def seat(person, tried):
        for n in (n for n, who in enumerate(seats) if person in who and n not in tried):
            tried.add(n)
            if n not in taken or seat(taken[n], tried):
                taken[n] = person
                return True
        return False
    return sum(seat(person, set()) for person in people)

def is_hardware(policy, key):
    """Whether a key is of the kind that the policy asks some approvals to be made with."""
    models, holder = (policy["hardware"] or {"models": []})["models"], key["authenticator"]
    return holder["attested"] and not holder["synced"] and (models is None or holder["aaguid"] in models)

def met(policy, found, people, strong):
    wanted, hardware = places(policy, found), (policy["hardware"] or {"required": 0})["required"]
    return filled(wanted, people) == sum(asked for asked, _ in wanted) and filled(wanted, strong) >= hardware

def within(new, old):
    """Whether whatever satisfies the new policy satisfies the old one, no sooner and no later."""
    def fits(wanted, person, chosen):
        return any(person in wanted[n][1] for n in chosen)
    def fill_at_least(wanted, count, others):
        """The fewest places of the others that people fill who fill so many of the wanted ones."""
        subsets = [[n for n in range(len(others)) if bits >> n & 1] for bits in range(1 << len(others))]
        return min(
            sum(others[n][0] for n in range(len(others)) if n not in chosen)
            + max(0, count - filled(wanted, [p for p in new["members"] if not fits(others, p, chosen)]))
            for chosen in subsets
        )
    for found in (False, True):
        ours, theirs = ([w for w in places(policy, found) if w[0] > 0] for policy in (new, old))
        if fill_at_least(ours, sum(asked for asked, _ in ours), theirs) < sum(asked for asked, _ in theirs):
            return False
        mine, hard = new["hardware"], old["hardware"]
        if hard:
            listed = mine and mine["models"] is not None and set(mine["models"]) <= set(hard["models"] or [])
            known = mine and (hard["models"] is None or listed)
            if not known or fill_at_least(ours, mine["required"], theirs) < hard["required"]:
                return False
    mine, theirs = new["embargo"], old["embargo"]
    embargo = not mine or theirs and (
        mine["required"] >= theirs["required"] and set(mine["people"]) <= set(theirs["people"])
        and mine["skips_cooling_off"] <= theirs["skips_cooling_off"]
        and mine["skips_schedule"] <= theirs["skips_schedule"]
    )
    return bool(embargo) and (
        new["expiry_secs"] <= old["expiry_secs"] and new["cooling_off_secs"] >= old["cooling_off_secs"]
        and new["triggering_actor_counts"] <= old["triggering_actor_counts"]
        and new["authors_count"] <= old["authors_count"] and new["note_on_findings"] >= old["note_on_findings"]
    )

def signed(origin, public_key, decision, purpose):
    """Whether the assertion is this key's, over exactly this statement (Web Authentication 7.2)."""
    assertion, text = decision["assertion"], decision["statement"]
    client_data, data = unpadded(assertion["clientDataJSON"]), unpadded(assertion["authenticatorData"])
    if decision["batch"] is not None:  # One touch for several releases, each by its statement's digest.
        batch = strict(decision["batch"])
        listed = sha256(text.encode()).hex() in (item["statement_sha256"] for item in batch["releases"])
        fits = listed and batch["person"] == decision["person"] and batch["format"] == BATCH
        if not fits or purpose != "approve" or canonical(batch).decode() != decision["batch"]:
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
