-- The record as it was before the write, read just before it was asked for; and finding what was done to a record.

ALTER TABLE audit_entries ADD COLUMN before jsonb;

CREATE INDEX audit_entries_by_record ON audit_entries (org_id, record_id) WHERE record_id IS NOT NULL;
CREATE INDEX audit_outcomes_by_record ON audit_outcomes (org_id, record_id) WHERE record_id IS NOT NULL;
