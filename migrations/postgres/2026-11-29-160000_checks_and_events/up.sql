-- The number of the organisation's last event. Before anything of connections: whoever writes connections has locked the
-- organisation before, and two who lock in different orders wait for each other.
ALTER TABLE organisations ADD COLUMN event_sequence BIGINT NOT NULL DEFAULT 0;

-- When the connection is checked in the background, and how many checks in a row have not ended well.
ALTER TABLE connections ADD COLUMN check_after BIGINT;
ALTER TABLE connections ADD COLUMN check_attempts BIGINT NOT NULL DEFAULT 0;
CREATE INDEX connections_to_check ON connections (check_after) WHERE check_after IS NOT NULL;
-- What an earlier release has added, and what is not to be checked yet.
CREATE INDEX connections_without_check ON connections (id)
    WHERE check_after IS NULL AND verify_after IS NULL AND deleted_at IS NULL;

-- The last day on which the key is good, in days since 1970, and when that is next told of.
ALTER TABLE connections ADD COLUMN credentials_expire_on BIGINT;
ALTER TABLE connections ADD COLUMN tell_expiry_at BIGINT;
CREATE INDEX connections_to_expire ON connections (tell_expiry_at) WHERE tell_expiry_at IS NOT NULL;

-- What happened to the health of connections. Written in the transaction of the change, in which the organisation's row is
-- locked: so the numbers are those of the commits, and none is missing.
CREATE TABLE events (
    id TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    organisation_id TEXT COLLATE "C" NOT NULL,
    sequence BIGINT NOT NULL,
    type TEXT NOT NULL,
    connection_id TEXT COLLATE "C" NOT NULL,
    connection_name TEXT NOT NULL,
    platform TEXT NOT NULL,
    connection_type TEXT NOT NULL,
    data TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX events_in_order ON events (organisation_id, sequence);
