-- Who is told of events. Address and secrets are sealed: both are private.
CREATE TABLE webhooks (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organisation_id TEXT COLLATE "C" NOT NULL,
    url_sealed BYTEA NOT NULL,
    secret_sealed BYTEA NOT NULL,
    -- The secret before the last rotation, and until when it signs too.
    former_secret_sealed BYTEA,
    former_secret_until BIGINT,
    -- Types with blanks between, or *.
    events TEXT NOT NULL,
    description TEXT,
    active BOOLEAN NOT NULL,
    paused_reason TEXT CHECK (paused_reason IN ('failures', 'gone')),
    version BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    created_by TEXT NOT NULL,
    -- The number of the last event that was tried, or was none for this webhook: what comes after it is still to be sent.
    progress BIGINT NOT NULL,
    -- Attempts in a row that failed, and until when nothing is sent because of them.
    failures BIGINT NOT NULL DEFAULT 0,
    rest_until BIGINT NOT NULL DEFAULT 0,
    -- When the first of its retries is due.
    retry_at BIGINT,
    -- When it last had its turn, and the right to send of the process that has it.
    served_at BIGINT NOT NULL DEFAULT 0,
    lease_until BIGINT,
    lease_owner TEXT COLLATE "C"
);
CREATE INDEX webhooks_of_organisation ON webhooks (organisation_id, id);
CREATE INDEX webhooks_with_former_secret ON webhooks (former_secret_until) WHERE former_secret_until IS NOT NULL;

-- Events that are tried again.
CREATE TABLE webhook_retries (
    webhook_id TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id),
    sequence BIGINT NOT NULL,
    event_id TEXT COLLATE "C" NOT NULL,
    event_type TEXT NOT NULL,
    attempts BIGINT NOT NULL,
    first_at BIGINT NOT NULL,
    next_at BIGINT NOT NULL,
    PRIMARY KEY (webhook_id, sequence)
);

-- Every attempt, for a month. The ids begin with the time.
CREATE TABLE webhook_deliveries (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    webhook_id TEXT COLLATE "C" NOT NULL REFERENCES webhooks (id),
    event_id TEXT COLLATE "C" NOT NULL,
    event_type TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    outcome TEXT NOT NULL CHECK (outcome IN ('delivered', 'retrying', 'failed')),
    status BIGINT,
    duration_ms BIGINT NOT NULL,
    error TEXT,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhook_deliveries_in_order ON webhook_deliveries (webhook_id, id);
