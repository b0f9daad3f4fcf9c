-- What operators order about objects at the provider that no resource claims: that one is removed, or given to a resource.
-- A removal is queued in `work` under the uid of its order. The release before knows no orders: it finds no resource of that
-- uid, and leaves the order to this one.
CREATE TABLE orphan_orders (
    project TEXT COLLATE "C" NOT NULL,
    object_type TEXT COLLATE "C" NOT NULL,
    object_id TEXT COLLATE "C" NOT NULL,
    uid TEXT COLLATE "C" NOT NULL UNIQUE,
    -- The object, as a sweep saw it.
    object TEXT NOT NULL,
    -- The resource that is to have it; none: it is to be removed.
    into_uid TEXT COLLATE "C",
    -- What the last try came to.
    told TEXT,
    refused BIGINT NOT NULL,
    ordered_at BIGINT NOT NULL,
    PRIMARY KEY (project, object_type, object_id)
);
