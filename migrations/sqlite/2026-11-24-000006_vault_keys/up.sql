-- What is known of the keys that seal; the keys themselves are never here.
CREATE TABLE vault_keys (
    id TEXT NOT NULL PRIMARY KEY,
    first_used_at BIGINT NOT NULL,
    -- When everything was last found sealed under it.
    rotated_at BIGINT
);
