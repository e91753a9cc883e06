-- The events of one connection, newest first, without reading those of all others.
CREATE INDEX IF NOT EXISTS audit_events_of_connection ON audit_events (organisation_id, connection_id, id);
