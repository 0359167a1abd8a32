-- Ids are 16 bytes, times are microseconds UTC, flags are 0 or 1, documents are canonical JSON text.
-- migrations/sqlite/0001_init.sql is this file in the other dialect; a test compares the schemas.

-- This installation. One row, written at first start.
create table instance (
  singleton    bigint not null constraint instance_pk primary key
               constraint instance_is_one_row check (singleton = 1),
  id           bytea    not null,
  origin       text    not null,           -- as browsers see it; the WebAuthn RP id is its host
  created_at   bigint not null,
  -- mutable
  claim_hash   bytea,                       -- SHA-256 of the claim code; null once claimed
  claim_tries  bigint not null default 0, -- wrong codes since the code was written
  claimed_at   bigint
);

-- The append-only log. Nothing updates or deletes here.
create table log_entries (
  sequence     bigint not null constraint log_entries_pk primary key,
  at           bigint not null,
  release_id   bytea,                       -- null: about people, policies, packages, upstreams
  kind         text    not null,
  leaf         bytea    not null,           -- exact bytes of the entry's leaf in the tree
  body         bytea    not null            -- the entry's exact bytes
);
create index log_entries_by_release on log_entries (release_id, sequence);

-- Position of the next entry; the row is the lock that keeps the log without gaps.
create table log_head (
  singleton     bigint not null constraint log_head_pk primary key
                constraint log_head_is_one_row check (singleton = 1),
  next_sequence bigint not null,
  edge          bytea not null              -- hashes of the perfect subtrees of all entries, largest first
);

-- The Merkle tree: hashes of leaves (level 0) and of the roots of full tiles. Never updated.
create table log_hashes (
  level        bigint not null,            -- of tiles: eight levels of the tree each
  position     bigint not null,
  hash         bytea not null,
  constraint log_hashes_pk primary key (level, position)
);

-- What was signed about the tree.
create table log_checkpoints (
  size         bigint not null constraint log_checkpoints_pk primary key,
  at           bigint not null,
  -- mutable
  note         text    not null            -- the log's signature and those of witnesses
);

create table people (
  id           bytea    not null constraint people_pk primary key,
  created_at   bigint not null,
  -- mutable
  name         text    not null constraint people_name_unique unique,
  role         text    not null constraint people_role_known
               check (role in ('owner', 'maintainer', 'viewer')),
  joined_at    bigint,                    -- first passkey enrolled
  left_at      bigint
);

create table passkeys (
  id                 bytea    not null constraint passkeys_pk primary key,
  person_id          bytea    not null constraint passkeys_person_fk references people (id),
  credential_id      bytea    not null constraint passkeys_credential_unique unique,
  public_key         bytea    not null,     -- COSE key
  aaguid             bytea    not null,
  transports         text    not null,     -- JSON array
  attestation_object bytea    not null,     -- raw, for evidence
  client_data_json   bytea    not null,     -- raw, for evidence
  attested           bigint not null  constraint passkeys_attested_flag check (attested in (0, 1)),
  created_at         bigint not null,
  counts_from        bigint not null,
  beside_id          bytea constraint passkeys_beside_fk references people (id), -- was signed in there
  -- mutable
  name               text    not null,
  stored             text    not null,     -- the verifier's own form, JSON
  counter            bigint not null,
  backup_eligible    bigint not null constraint passkeys_be_flag check (backup_eligible in (0, 1)),
  backed_up          bigint not null constraint passkeys_bs_flag check (backed_up in (0, 1)),
  last_used_at       bigint,
  suspended_at       bigint,              -- counter or flag alarm: does not count
  revoked_at         bigint
);
create index passkeys_by_person on passkeys (person_id);

create table roster_revisions (
  revision     bigint not null constraint roster_revisions_pk primary key,
  at           bigint not null,
  body         text    not null,
  sha256       bytea    not null
);

create table invitations (
  id           bytea    not null constraint invitations_pk primary key,
  token_hash   bytea    not null constraint invitations_token_unique unique,
  person_id    bytea    not null constraint invitations_person_fk references people (id),
  invited_by   bytea    constraint invitations_inviter_fk references people (id), -- null: set-up
  created_at   bigint not null,
  expires_at   bigint not null,
  -- mutable
  used_at      bigint,
  revoked_at   bigint
);

create table sessions (
  token_hash   bytea    not null constraint sessions_pk primary key,
  person_id    bytea    not null constraint sessions_person_fk references people (id),
  id           bytea    not null constraint sessions_id_unique unique, -- what pages call it
  opened_with  text    not null,           -- the passkey's name, or the issuer that vouched
  browser      text    not null,           -- and its system, as it calls itself
  reads_only   bigint not null constraint sessions_reads_only_flag check (reads_only in (0, 1)),
  csrf         text    not null,
  created_at   bigint not null,
  expires_at   bigint not null,           -- absolute
  -- mutable
  seen_at      bigint not null            -- idle time counts from here
);
create index sessions_by_person on sessions (person_id);

-- What somebody who left may still be able to do at registries. Rows are made when they leave.
create table leaver_rights (
  id           bytea    not null constraint leaver_rights_pk primary key,
  person_id    bytea    not null constraint leaver_rights_person_fk references people (id),
  created_at   bigint not null,
  kind         text    not null constraint leaver_rights_kind_known check (kind in
    ('owner_row', 'token', 'publisher', 'credential')),
  thing        text    not null,           -- the package or publisher; what a page says
  place        text    not null,           -- the registry
  -- mutable
  confirmed_at bigint,                    -- somebody saw that it is gone
  confirmed_by bytea    constraint leaver_rights_confirmer_fk references people (id)
);
create index leaver_rights_by_person on leaver_rights (person_id);

-- Accounts of the single sign-on that are somebody's. They sign in for reading.
create table sso_accounts (
  issuer_url   text    not null,
  subject      text    not null,
  person_id    bytea    not null constraint sso_accounts_person_fk references people (id),
  linked_at    bigint not null,
  constraint sso_accounts_pk primary key (issuer_url, subject)
);

-- One WebAuthn exchange. Deleted when it finishes, whatever the result.
create table ceremonies (
  id            bytea    not null constraint ceremonies_pk primary key,
  purpose       text    not null,
  person_id     bytea    constraint ceremonies_person_fk references people (id), -- null: sign-in
  session_hash  bytea,                      -- the session it was begun in, if any
  invitation_id bytea    constraint ceremonies_invitation_fk references invitations (id),
  release_id    bytea,
  proposal_id   bytea,
  nonce         bytea,
  statement     bytea,                      -- the exact bytes being signed
  state         text    not null,          -- the verifier's own state, JSON
  created_at    bigint not null,
  expires_at    bigint not null
);

create table issuers (
  id           bytea    not null constraint issuers_pk primary key,
  name         text    not null constraint issuers_name_unique unique,
  url          text    not null constraint issuers_url_unique unique,
  body         text    not null,           -- canonical JSON of the whole issuer
  created_at   bigint not null
);

-- CI identities that are settled: a person's, or nobody's (a bot).
create table ci_identities (
  issuer_url   text    not null,
  actor_id     text    not null,
  actor_name   text    not null,
  person_id    bytea    constraint ci_identities_person_fk references people (id), -- null: a bot
  linked_at    bigint not null,
  constraint ci_identities_pk primary key (issuer_url, actor_id)
);

create table upstreams (
  id                 bytea    not null constraint upstreams_pk primary key,
  created_at         bigint not null,
  kind               text    not null constraint upstreams_kind_known check (kind in ('npm', 'pypi')),
  -- mutable
  name               text    not null constraint upstreams_name_unique unique,
  url                text    not null,
  simple_url         text,
  files_url          text,                 -- where published files are besides
  allow_private      bigint not null constraint upstreams_private_flag check (allow_private in (0, 1)),
  username           text    not null,
  publish_credential bytea,                 -- sealed; only the publisher role can open it
  read_credential    bytea,                 -- sealed for the web role
  sealed_at          bigint
);

create table policies (
  id           bytea    not null constraint policies_pk primary key,
  name         text    not null constraint policies_name_unique unique,
  revision     bigint not null            -- the one in force
);

create table policy_revisions (
  policy_id    bytea    not null constraint policy_revisions_policy_fk references policies (id),
  revision     bigint not null,
  at           bigint not null,
  body         text    not null,
  sha256       bytea    not null,
  constraint policy_revisions_pk primary key (policy_id, revision)
);

create table packages (
  id           bytea    not null constraint packages_pk primary key,
  ecosystem    text    not null constraint packages_ecosystem_known
               check (ecosystem in ('npm', 'pypi')),
  name         text    not null,
  normalized   text    not null,
  created_at   bigint not null,
  -- mutable
  upstream_id  bytea    not null constraint packages_upstream_fk references upstreams (id),
  policy_id    bytea    not null constraint packages_policy_fk references policies (id),
  access       text    constraint packages_access_known check (access in ('public', 'restricted')),
  constraint packages_name_unique unique (ecosystem, normalized)
);

create table publishers (
  id           bytea    not null constraint publishers_pk primary key,
  issuer_id    bytea    not null constraint publishers_issuer_fk references issuers (id),
  created_at   bigint not null,
  -- mutable
  name         text    not null,
  rule         text    not null,           -- canonical JSON
  last_used_at bigint,
  removed_at   bigint
);

create table publisher_packages (
  publisher_id bytea    not null constraint publisher_packages_publisher_fk references publishers (id),
  package_id   bytea    not null constraint publisher_packages_package_fk references packages (id),
  constraint publisher_packages_pk primary key (publisher_id, package_id)
);

-- Tokens of known issuers that no publisher accepted, for the publisher page. Bounded by a sweep.
create table refused_tokens (
  id           bytea    not null constraint refused_tokens_pk primary key,
  at           bigint not null,
  issuer_id    bytea    not null constraint refused_tokens_issuer_fk references issuers (id),
  package_id   bytea    constraint refused_tokens_package_fk references packages (id),
  claim        text    not null,
  expected     text    not null,
  received     text    not null
);
create index refused_tokens_by_time on refused_tokens (at);

-- A session of one CI run with one publisher (PyPI) or one package (npm).
create table upload_sessions (
  id            bytea    not null constraint upload_sessions_pk primary key,
  publisher_id  bytea    not null constraint upload_sessions_publisher_fk references publishers (id),
  package_id    bytea    constraint upload_sessions_package_fk references packages (id), -- null: all of the publisher's
  claims        text    not null,          -- canonical JSON of the verified claims
  claims_sha256 bytea    not null,
  run_key       text    not null,          -- names the CI run
  created_at    bigint not null,
  expires_at    bigint not null,
  -- mutable
  ended_at      bigint
);

-- Which CI token opened which session (Q1). Kept until the token has expired and a margin more.
create table token_uses (
  issuer_url   text    not null,
  jti          text    not null,
  scope        text    not null,           -- 'npm:<package id>' or 'pypi:<publisher id>'
  session_id   bytea    not null constraint token_uses_session_fk references upload_sessions (id),
  keep_until   bigint not null,
  constraint token_uses_pk primary key (issuer_url, jti, scope)
);

-- Minted upload tokens; several may open one session, since a client may present its CI token again.
create table upload_tokens (
  token_hash   bytea    not null constraint upload_tokens_pk primary key,
  session_id   bytea    not null constraint upload_tokens_session_fk references upload_sessions (id),
  created_at   bigint not null
);

create table releases (
  id              bytea    not null constraint releases_pk primary key,
  package_id      bytea    not null constraint releases_package_fk references packages (id),
  version         text    not null,
  publisher_id    bytea    not null constraint releases_publisher_fk references publishers (id),
  run_key         text    not null,
  claims          text    not null,
  claims_sha256   bytea    not null,
  actor_issuer    text    not null,
  actor_id        text    not null,
  actor_name      text    not null,
  client          text    not null,        -- the uploading client's user agent, cut
  dist_tag        text,                    -- npm only
  access          text    constraint releases_access_known check (access in ('public', 'restricted')),
  created_at      bigint not null,
  -- set once, when sealed
  manifest        bytea,
  manifest_sha256 bytea,
  policy_id       bytea    constraint releases_policy_fk references policies (id),
  policy_revision bigint,
  sealed_at       bigint,
  expires_at      bigint,
  -- mutable
  state           text    not null constraint releases_state_known check (state in
    ('open', 'awaiting', 'approved', 'forwarding', 'confirming', 'published', 'partial', 'failed',
     'rejected', 'expired', 'superseded')),
  seal_after      bigint not null,        -- an open release is sealed when no file came until then
  changed_at      bigint not null,
  finished_at     bigint,
  superseded_by   bytea,
  message         text,                    -- the registry's own words, or our reason, for people
  constraint releases_sealed_or_open check
    ((manifest is null) = (sealed_at is null) and (state = 'open' or state = 'expired' or manifest is not null))
);
-- One candidate at a time holds a version (I11).
create unique index releases_hold_version on releases (package_id, version)
  where state in ('open', 'awaiting', 'approved', 'forwarding', 'confirming', 'published', 'partial');
create index releases_by_state on releases (state, created_at);
create index releases_by_time on releases (created_at);

create table artifacts (
  id              bytea    not null constraint artifacts_pk primary key,
  release_id      bytea    not null constraint artifacts_release_fk references releases (id),
  filename        text    not null,
  kind            text    not null constraint artifacts_kind_known
                  check (kind in ('npm_tarball', 'wheel', 'sdist')),
  size_bytes      bigint not null,
  sha256          bytea    not null,
  digests         text    not null,        -- JSON of all digests
  facts           text    not null,        -- JSON of what the file itself says
  differences     text    not null,        -- JSON of claimed-against-embedded differences, for people
  document_sha256 bytea    not null,        -- the rebuilt publish document
  staged_at       bigint not null,
  -- mutable
  forwarded_at    bigint,                 -- the registry holds it
  constraint artifacts_name_unique unique (release_id, filename)
);

-- Attestations and provenance that CI sent, kept as evidence (Q2).
create table attachments (
  id           bytea    not null constraint attachments_pk primary key,
  artifact_id  bytea    not null constraint attachments_artifact_fk references artifacts (id),
  kind         text    not null,
  body         bytea    not null
);

-- What the gateway found in sealed releases. The log has the digests, the last of which counts.
create table reports (
  release_id  bytea    not null constraint reports_release_fk references releases (id),
  sha256      bytea    not null,
  body        text    not null,            -- the exact report
  source      text,                        -- JSON of what was found in the source repository
  -- mutable
  at          bigint not null,             -- when the same was found last
  constraint reports_pk primary key (release_id, sha256)
);

-- Sealed releases that nobody looked inside yet, or that are looked at again.
create table inspections (
  release_id  bytea    not null constraint inspections_pk primary key
              constraint inspections_release_fk references releases (id),
  -- mutable
  due_at      bigint not null,
  tries       bigint not null default 0  -- that began; a file may take the whole process with it
);
create index inspections_due on inspections (due_at);

create table decisions (
  id                 bytea    not null constraint decisions_pk primary key,
  release_id         bytea    not null constraint decisions_release_fk references releases (id),
  person_id          bytea    not null constraint decisions_person_fk references people (id),
  passkey_id         bytea    not null constraint decisions_passkey_fk references passkeys (id),
  report_sha256      bytea    not null,     -- over which report; empty in a rejection
  verdict            text    not null constraint decisions_verdict_known
                     check (verdict in ('approve', 'reject')),
  reason             text,
  body               text    not null,     -- canonical JSON of the whole decision
  at                 bigint not null,
  place              bytea,                -- keyed hash of where it came from: alike or not
  constraint decisions_once_per_report unique (release_id, person_id, report_sha256)
);

-- Background work on a release. The fence rises with every lease; writes carry it.
create table jobs (
  id           bytea    not null constraint jobs_pk primary key,
  release_id   bytea    not null constraint jobs_release_fk references releases (id),
  created_at   bigint not null,
  -- mutable
  run_at       bigint not null,
  attempts     bigint not null default 0,
  fence        bigint not null default 0,
  lease_owner  text,
  lease_until  bigint,
  finished_at  bigint,
  message      text
);
create unique index jobs_one_per_release on jobs (release_id) where finished_at is null;
create index jobs_due on jobs (run_at) where finished_at is null;

create table attempts (
  id           bytea    not null constraint attempts_pk primary key,
  release_id   bytea    not null constraint attempts_release_fk references releases (id),
  artifact_id  bytea    not null constraint attempts_artifact_fk references artifacts (id),
  fence        bigint not null,
  started_at   bigint not null,
  -- mutable
  ended_at     bigint,
  outcome      text,
  message      text
);
create index attempts_by_release on attempts (release_id, started_at);

-- Requested changes of people, rules and places. The log decides what becomes of them; a row is what
-- the pages list, and keeps what carrying the change out needs and the log does not hold (names,
-- sealed credentials).
create table proposals (
  id           bytea    not null constraint proposals_pk primary key,
  proposed_by  bytea    not null constraint proposals_person_fk references people (id),
  at           bigint   not null,
  body         text     not null,          -- the exact proposal
  details      text     not null,          -- JSON, one item for each change
  -- mutable
  state        text     not null constraint proposals_state_known check (state in
    ('open', 'enacted', 'withdrawn', 'rejected', 'expired', 'stale')),
  ended_at     bigint,
  recovered_until bigint               -- the recovery key signed it; it takes effect then
);
create index proposals_by_state on proposals (state, at);

-- Answers to API calls that carried an Idempotency-Key, for 24 hours.
create table idempotency (
  key_hash     bytea    not null constraint idempotency_pk primary key, -- key, caller and route
  request_hash bytea    not null,
  at           bigint not null,
  status       bigint not null,
  content_type text    not null,
  body         bytea    not null
);

-- Files fetched from registries to compare with, by the digest that npm names them by.
create table fetched_files (
  sha512       bytea   not null constraint fetched_files_pk primary key,
  sha256       bytea   not null,
  fetched_at   bigint  not null
);

-- Secret addresses that show one sealed release for a while. Ended ones are removed.
create table previews (
  id           bytea   not null constraint previews_pk primary key,
  token_hash   bytea   not null constraint previews_token_unique unique,
  release_id   bytea   not null constraint previews_release_fk references releases (id),
  made_by      bytea   not null constraint previews_person_fk references people (id),
  created_at   bigint  not null,
  expires_at   bigint  not null
);
create index previews_by_release on previews (release_id, expires_at);

-- Every file of an artifact beside the baseline's, listed when they were inspected.
create table file_lists (
  candidate    bytea   not null,
  baseline     bytea   not null,           -- empty without one
  made_at      bigint  not null,
  body         text    not null,           -- JSON of the list
  constraint file_lists_pk primary key (candidate, baseline)
);
create index file_lists_by_time on file_lists (made_at);

-- Which differences somebody has read. Ticking is for whoever reads: nothing depends on it.
create table viewed (
  release_id   bytea   not null constraint viewed_release_fk references releases (id),
  person_id    bytea   not null constraint viewed_person_fk references people (id),
  difference   bytea   not null,           -- digest of the place and of what either side holds there
  at           bigint  not null,
  constraint viewed_pk primary key (release_id, person_id, difference)
);
