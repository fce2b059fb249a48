-- What search looks through: one row per account, contact, deal, note and record of a custom object, written in the
-- transaction that writes the record.
--
-- `terms` are hashes of organization and text, made by the service: words' trigrams, whole fields, neighbours of words. A GIN
-- index over integers needs no extension (pg_trgm and unaccent are not everywhere, and to create them takes a right that a
-- service's owner does not have), and its keys begin with the organization by what is hashed.

CREATE TABLE search_documents (
    org_id uuid   NOT NULL,
    id     uuid   NOT NULL,
    kind   text   COLLATE "C" NOT NULL CHECK (kind IN ('account', 'contact', 'deal', 'record', 'note')),
    -- Of a record of a custom object the object's key.
    object text   COLLATE "C",
    title  text   NOT NULL,
    -- Names and texts of the other fields.
    names  text[] NOT NULL,
    texts  text[] NOT NULL,
    terms  int[]  NOT NULL,
    PRIMARY KEY (org_id, id),
    CONSTRAINT search_documents_whole CHECK (cardinality(names) = cardinality(texts))
);
-- New rows wait in a list that is merged into the index every two megabytes: many contacts that are recorded at once share the
-- work, and the list, which every search reads, stays short.
CREATE INDEX search_documents_by_terms ON search_documents USING gin (terms)
    WITH (fastupdate = on, gin_pending_list_limit = 2048);
CALL tenant_table('search_documents');
CALL pipeline_table('search_documents');

-- How far records that were there before have got their row.
CREATE TABLE search_backfill (
    kind      text    COLLATE "C" PRIMARY KEY,
    -- The last organization and record that were done.
    after_org uuid    NOT NULL,
    after_id  uuid    NOT NULL,
    done      boolean NOT NULL
);
DO $$
BEGIN
    EXECUTE format('REVOKE ALL ON search_backfill FROM %I', current_schema() || '_app');
END $$;
