-- Audit events are only ever added. They may go when they are old, which is how retention works: the shortest is a day,
-- and the hour less is for clocks that differ.
CREATE FUNCTION keep_audit_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'DELETE' THEN
        IF OLD.created_at <= (extract(epoch FROM clock_timestamp())::bigint - 23 * 3600) * 1000000 THEN
            RETURN OLD;
        END IF;
        RAISE EXCEPTION 'audit events of the last day are never deleted';
    END IF;
    RAISE EXCEPTION 'audit events are never changed';
END;
$$;

CREATE TRIGGER audit_events_append_only BEFORE UPDATE OR DELETE ON audit_events
    FOR EACH ROW EXECUTE FUNCTION keep_audit_events();

CREATE TRIGGER audit_events_no_truncate BEFORE TRUNCATE ON audit_events
    FOR EACH STATEMENT EXECUTE FUNCTION keep_audit_events();
