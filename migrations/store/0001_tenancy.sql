-- What every table of a service is declared with. Runs in the service's own schema, as its owner.

-- A table with org_id: rows of the organization in the transaction's context only; no context is an error.
-- The policy is the bare setting, without a function around it, so that indexes by org_id are used.
CREATE PROCEDURE tenant_table(relation regclass) LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', relation);
    EXECUTE format(
        'CREATE POLICY tenant ON %s USING (org_id = current_setting(''devsignal.org_id'')::uuid)'
        ' WITH CHECK (org_id = current_setting(''devsignal.org_id'')::uuid)', relation);
END $$;

-- A table that the workers may use for all organizations at once.
CREATE PROCEDURE pipeline_table(relation regclass) LANGUAGE plpgsql AS $$
DECLARE
    stem name := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation);
BEGIN
    EXECUTE format('CREATE POLICY pipeline ON %s TO %I USING (true) WITH CHECK (true)',
                   relation, stem || '_pipeline');
END $$;

-- A partition: reached through its parent only. Maintenance, which is the owner's, reads it directly.
CREATE PROCEDURE partition_table(relation regclass) LANGUAGE plpgsql AS $$
DECLARE
    stem name := (SELECT n.nspname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation);
BEGIN
    EXECUTE format('REVOKE ALL ON %s FROM %I, %I', relation, stem || '_app', stem || '_pipeline');
    EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY', relation);
    EXECUTE format('ALTER TABLE %s FORCE ROW LEVEL SECURITY', relation);
    EXECUTE format('CREATE POLICY maintenance ON %s TO %I USING (true) WITH CHECK (true)',
                   relation, stem || '_owner');
END $$;

-- A table PARTITION BY RANGE (<uuidv7>): its default partition takes ids outside of the made ranges (a clock that is
-- wrong), so that no row is ever refused for its id.
CREATE PROCEDURE partitioned_table(relation regclass) LANGUAGE plpgsql AS $$
DECLARE
    partition text := (SELECT relname FROM pg_class WHERE oid = relation) || '_default';
BEGIN
    EXECUTE format('CREATE TABLE %I PARTITION OF %s DEFAULT', partition, relation);
    EXECUTE format('CALL partition_table(%L)', quote_ident(partition));
END $$;
