-- The engines that work on this database, so that they share the projects. The release before tells nothing of itself here, and is
-- not counted: it takes what is free, as it did.
CREATE TABLE replicas (
    -- As in the leases that it holds.
    owner TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    engine_version BIGINT NOT NULL,
    -- Since when it has told of itself without a pause.
    since BIGINT NOT NULL,
    seen_at BIGINT NOT NULL
);
