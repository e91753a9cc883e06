-- Which claim a lease is of. Rows that an earlier release has leased name none.
ALTER TABLE connections ADD COLUMN lease_owner TEXT;
ALTER TABLE idempotency_keys ADD COLUMN owner TEXT;

-- Whether whoever added the connection was a service that acts for any organisation.
ALTER TABLE connections ADD COLUMN created_via_service BOOLEAN NOT NULL DEFAULT FALSE;

-- Why the status is what it is, sealed: a reason names the tracker's host.
ALTER TABLE connections ADD COLUMN health_sealed BLOB;
ALTER TABLE connections ADD COLUMN last_success_at BIGINT;
ALTER TABLE connections ADD COLUMN last_checked_at BIGINT;
-- What an earlier release leaves behind when it deletes a connection.
CREATE INDEX connections_health_left ON connections (id) WHERE deleted_at IS NOT NULL AND health_sealed IS NOT NULL;
