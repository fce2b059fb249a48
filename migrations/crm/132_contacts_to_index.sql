-- Contacts that search does not know as they are now, because they were written faster than search documents can be: those of
-- imports. Written with the contact, taken away with its document.
CREATE TABLE contacts_to_index (
    org_id uuid NOT NULL,
    id     uuid NOT NULL,
    PRIMARY KEY (org_id, id)
);
CALL tenant_table('contacts_to_index');
CALL pipeline_table('contacts_to_index');
