DROP TABLE idempotency_keys;
DROP TABLE audit_events;
DROP TABLE automations;
DROP TABLE verifications;
DROP TABLE connections;
DROP TABLE organisations;
