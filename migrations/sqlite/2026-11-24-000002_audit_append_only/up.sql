-- Audit events are only ever added. They may go when they are old, which is how retention works: the shortest is a day,
-- and the hour less is for clocks that differ.
CREATE TRIGGER audit_events_no_update BEFORE UPDATE ON audit_events
BEGIN
    SELECT RAISE(ABORT, 'audit events are never changed');
END;

CREATE TRIGGER audit_events_no_delete BEFORE DELETE ON audit_events
WHEN OLD.created_at > (CAST(strftime('%s', 'now') AS INTEGER) - 23 * 3600) * 1000000
BEGIN
    SELECT RAISE(ABORT, 'audit events of the last day are never deleted');
END;

-- INSERT OR REPLACE deletes without asking the trigger above.
CREATE TRIGGER audit_events_no_replace BEFORE INSERT ON audit_events
WHEN EXISTS (SELECT 1 FROM audit_events WHERE id = NEW.id)
BEGIN
    SELECT RAISE(ABORT, 'audit events are never replaced');
END;
