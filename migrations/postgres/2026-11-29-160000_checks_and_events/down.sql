DROP TABLE events;
ALTER TABLE organisations DROP COLUMN event_sequence;
DROP INDEX connections_to_expire;
ALTER TABLE connections DROP COLUMN tell_expiry_at;
ALTER TABLE connections DROP COLUMN credentials_expire_on;
DROP INDEX connections_without_check;
DROP INDEX connections_to_check;
ALTER TABLE connections DROP COLUMN check_attempts;
ALTER TABLE connections DROP COLUMN check_after;
