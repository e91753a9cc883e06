CREATE TABLE organisations (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- Written first in every write transaction of the organisation: that write is its lock.
    writes BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE connections (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organisation_id TEXT COLLATE "C" NOT NULL REFERENCES organisations (id),
    name TEXT NOT NULL,
    name_key TEXT COLLATE "C" NOT NULL,
    platform TEXT NOT NULL,
    connection_type TEXT NOT NULL CHECK (connection_type IN ('admin', 'affiliate')),
    settings_sealed BYTEA,
    credentials_sealed BYTEA,
    verification_sealed BYTEA,
    status TEXT NOT NULL CHECK (status IN ('active', 'failing', 'unverified')),
    counts_toward_limit BOOLEAN NOT NULL,
    version BIGINT NOT NULL,
    verify_after BIGINT,
    verify_attempts BIGINT NOT NULL DEFAULT 0,
    lease_until BIGINT,
    last_used_at BIGINT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX connections_name ON connections (organisation_id, name_key) WHERE deleted_at IS NULL;
CREATE INDEX connections_by_creation ON connections (organisation_id, created_at, id) WHERE deleted_at IS NULL;
CREATE INDEX connections_by_update ON connections (organisation_id, updated_at, id) WHERE deleted_at IS NULL;
CREATE INDEX connections_changed ON connections (updated_at);
CREATE INDEX connections_to_verify ON connections (verify_after) WHERE verify_after IS NOT NULL;

CREATE TABLE verifications (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organisation_id TEXT COLLATE "C" NOT NULL,
    connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
    report_sealed BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX verifications_of_connection ON verifications (connection_id, id);

CREATE TABLE automations (
    connection_id TEXT COLLATE "C" NOT NULL REFERENCES connections (id),
    automation_id TEXT COLLATE "C" NOT NULL,
    organisation_id TEXT COLLATE "C" NOT NULL,
    first_used_at BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (connection_id, automation_id)
);

CREATE TABLE audit_events (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organisation_id TEXT COLLATE "C" NOT NULL,
    connection_id TEXT COLLATE "C",
    action TEXT NOT NULL,
    outcome TEXT NOT NULL,
    actor TEXT NOT NULL,
    address TEXT,
    request_id TEXT,
    detail TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX audit_events_of_organisation ON audit_events (organisation_id, id);

CREATE TABLE idempotency_keys (
    organisation_id TEXT COLLATE "C" NOT NULL,
    key_hash TEXT COLLATE "C" NOT NULL,
    body_hash TEXT NOT NULL,
    -- Empty while the request is still running.
    connection_id TEXT,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (organisation_id, key_hash)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);
