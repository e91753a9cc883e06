-- The events of one kind, or of one actor, newest first, without reading all others.
CREATE INDEX IF NOT EXISTS audit_events_of_action ON audit_events (organisation_id, action, id);
CREATE INDEX IF NOT EXISTS audit_events_of_actor ON audit_events (organisation_id, actor, id);
