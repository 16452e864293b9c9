"""The ledger's first schema, as SQL text that no change of `tables` changes."""

from alembic import op

revision = "0100"
down_revision = None

_TYPES = {
    "sqlite": {"{ID}": "TEXT", "{KEY}": "INTEGER", "{BYTES}": "BLOB"},
    "postgresql": {"{ID}": 'TEXT COLLATE "C"', "{KEY}": "BIGINT", "{BYTES}": "BYTEA"},
}

# SQLite without statistics takes the later of two equal indexes.
_SCHEMA = """
CREATE TABLE entry (
    sequence {KEY} NOT NULL,
    marketplace {ID} NOT NULL,
    seller {ID} NOT NULL,
    entry_id {ID} NOT NULL,
    kind SMALLINT NOT NULL,
    occur_time BIGINT NOT NULL,
    report_time BIGINT NOT NULL,
    record_time BIGINT NOT NULL,
    violation {ID},
    incident {ID},
    category SMALLINT,
    severity SMALLINT,
    status SMALLINT,
    exposure_day INTEGER,
    product_category {ID},
    revision INTEGER,
    settled_orders BIGINT,
    service_failures BIGINT,
    identity_level SMALLINT,
    content TEXT NOT NULL,
    digest {BYTES} NOT NULL,
    notifier {ID},
    target {ID},
    units BIGINT,
    until_time BIGINT,
    principal {ID},
    PRIMARY KEY (sequence),
    CONSTRAINT entry_sequence CHECK (sequence >= 1),
    CONSTRAINT entry_occur_time CHECK (occur_time >= 0 AND occur_time <= record_time),
    CONSTRAINT entry_report_time CHECK (report_time >= 0 AND report_time <= record_time),
    CONSTRAINT entry_digest CHECK (length(digest) = 32),
    CONSTRAINT entry_kind CHECK (kind >= 1),
    CONSTRAINT entry_violation CHECK (kind NOT IN (1, 13) OR (violation IS NOT NULL AND violation = entry_id
        AND incident IS NOT NULL AND category IS NOT NULL AND severity IS NOT NULL AND status IS NOT NULL
        AND status IN (1, 3))),
    CONSTRAINT entry_status CHECK (kind <> 2 OR (violation IS NOT NULL
        AND (status IS NULL OR (status BETWEEN 2 AND 8 AND (severity IS NOT NULL) = (status = 7))))),
    CONSTRAINT entry_exposure CHECK (kind <> 3 OR (exposure_day IS NOT NULL
        AND occur_time = exposure_day * 86400000000 AND product_category IS NOT NULL
        AND revision IS NOT NULL AND revision >= 0 AND settled_orders IS NOT NULL AND service_failures IS NOT NULL
        AND service_failures BETWEEN 0 AND settled_orders)),
    CONSTRAINT entry_identity CHECK (kind <> 4 OR (identity_level IS NOT NULL AND identity_level BETWEEN 1 AND 4)),
    CONSTRAINT entry_category CHECK (category BETWEEN 1 AND 8),
    CONSTRAINT entry_severity CHECK (severity BETWEEN 1 AND 4),
    CONSTRAINT entry_outcome CHECK (kind NOT IN (5, 17, 18, 19) OR status IS NOT NULL),
    CONSTRAINT entry_target CHECK (kind NOT IN (12, 13, 18, 19) OR target IS NOT NULL),
    CONSTRAINT entry_units CHECK (units >= 0)
);
CREATE UNIQUE INDEX entry_id_once ON entry (marketplace, entry_id);
CREATE INDEX entry_of_marketplace ON entry (marketplace, sequence);
CREATE INDEX entry_of_seller ON entry (marketplace, seller, sequence);
CREATE INDEX entry_of_violation ON entry (marketplace, violation, sequence) WHERE violation IS NOT NULL;
CREATE INDEX entry_reports ON entry (marketplace, sequence) WHERE kind = 1;
CREATE INDEX entry_recorded ON entry (record_time, sequence);
CREATE UNIQUE INDEX entry_exposure_once ON entry (marketplace, seller, exposure_day, product_category, revision)
    WHERE kind = 3;
CREATE INDEX entry_of_target ON entry (marketplace, target, sequence) WHERE target IS NOT NULL;
CREATE INDEX entry_regroupings ON entry (marketplace, seller, sequence) WHERE kind = 18;
CREATE INDEX entry_pending ON entry (marketplace, violation, sequence) WHERE kind = 2 AND status IS NULL;
CREATE INDEX entry_of_notifier ON entry (marketplace, notifier, sequence) WHERE notifier IS NOT NULL;
CREATE INDEX entry_acts ON entry (kind, marketplace, sequence) WHERE kind > 1000;
CREATE INDEX entry_later ON entry (marketplace, seller, sequence) WHERE kind > 28 AND kind < 1000;
CREATE INDEX entry_alleged
    ON entry (marketplace, seller, severity, sequence, occur_time, report_time, kind, status)
    WHERE kind = 1 AND status = 1;
CREATE INDEX entry_clock ON entry (sequence) WHERE kind = 21;
CREATE INDEX entry_found ON entry (marketplace, seller, sequence, kind) WHERE kind IN (7, 8);
CREATE UNIQUE INDEX entry_flow_once ON entry (marketplace, seller, exposure_day, product_category, revision)
    WHERE kind = 22;
CREATE INDEX entry_counting ON entry (marketplace, seller, sequence, kind, status)
    WHERE (kind IN (2, 4, 5, 11, 17, 18, 19, 28) OR kind = 1 AND status = 3);
CREATE INDEX entry_on_terms ON entry (marketplace, seller, sequence, kind) WHERE kind IN (16, 23, 24, 25, 26, 27, 28);
CREATE INDEX entry_cases ON entry (marketplace, sequence) WHERE kind = 28;
CREATE TABLE seal (
    first_sequence {KEY} NOT NULL,
    last_sequence BIGINT NOT NULL,
    root {BYTES} NOT NULL,
    chain {BYTES} NOT NULL,
    leaves {BYTES} NOT NULL,
    PRIMARY KEY (first_sequence),
    CONSTRAINT seal_range CHECK (first_sequence >= 1 AND last_sequence >= first_sequence),
    CONSTRAINT seal_root CHECK (length(root) = 32),
    CONSTRAINT seal_chain CHECK (length(chain) = 32)
);
CREATE TABLE seller_key (
    key_id {ID} NOT NULL,
    marketplace {ID} NOT NULL,
    seller {ID} NOT NULL,
    "key" {BYTES} NOT NULL,
    PRIMARY KEY (key_id),
    CONSTRAINT seller_key_length CHECK (length(key) = 32)
);
CREATE UNIQUE INDEX seller_key_once ON seller_key (marketplace, seller);
CREATE TABLE source_position (
    source {ID} NOT NULL,
    partition INTEGER NOT NULL,
    next_position BIGINT NOT NULL,
    sequence BIGINT NOT NULL,
    PRIMARY KEY (source, partition, next_position)
)
"""

_APPEND_ONLY = ("entry", "seal", "source_position")
"""An erasure deletes keys."""

_REFUSAL = "the ledger is append-only: a correction is another entry"
_TRIGGERS = {
    "sqlite": (
        f"CREATE TRIGGER {{0}}_no_update BEFORE UPDATE ON {{0}} BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
        f"CREATE TRIGGER {{0}}_no_delete BEFORE DELETE ON {{0}} BEGIN SELECT RAISE(ABORT, '{_REFUSAL}'); END",
    ),
    "postgresql": (
        "CREATE TRIGGER {0}_no_change BEFORE UPDATE OR DELETE ON {0} FOR EACH ROW EXECUTE FUNCTION entry_append_only()",
        "CREATE TRIGGER {0}_no_truncate BEFORE TRUNCATE ON {0} FOR EACH STATEMENT EXECUTE FUNCTION entry_append_only()",
    ),
}
_FUNCTION = (
    "CREATE FUNCTION entry_append_only() RETURNS trigger LANGUAGE plpgsql"
    f" AS $$BEGIN RAISE EXCEPTION '{_REFUSAL}' USING ERRCODE = 'restrict_violation'; END$$"
)


def upgrade() -> None:
    backend = op.get_bind().dialect.name
    schema = _SCHEMA
    for name, stands_for in _TYPES[backend].items():
        schema = schema.replace(name, stands_for)
    for statement in schema.split(";"):
        op.execute(statement)
    if backend == "postgresql":
        op.execute(_FUNCTION)
    for table in _APPEND_ONLY:
        for trigger in _TRIGGERS[backend]:
            op.execute(trigger.format(table))
