-- Every move of an account's score, as told: our part of the account's timeline. The primary key is the timeline's order.

CREATE TABLE score_changes (
    org_id          uuid        NOT NULL,
    account_id      uuid        NOT NULL,
    at              timestamptz NOT NULL,
    -- The event's id.
    id              uuid        NOT NULL,
    score           smallint    NOT NULL CHECK (score BETWEEN 0 AND 100),
    tier            smallint    NOT NULL,
    trend           smallint    NOT NULL,
    -- Absent the first time.
    previous_score  smallint    CHECK (previous_score BETWEEN 0 AND 100),
    previous_tier   smallint    NOT NULL,
    model_version   text        NOT NULL,
    PRIMARY KEY (org_id, account_id, at, id)
);

CALL tenant_table('score_changes');
CALL pipeline_table('score_changes');
