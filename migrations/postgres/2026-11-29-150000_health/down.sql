DROP INDEX connections_health_left;
ALTER TABLE connections DROP COLUMN last_checked_at;
ALTER TABLE connections DROP COLUMN last_success_at;
ALTER TABLE connections DROP COLUMN health_sealed;
ALTER TABLE connections DROP COLUMN created_via_service;
ALTER TABLE idempotency_keys DROP COLUMN owner;
ALTER TABLE connections DROP COLUMN lease_owner;
