-- What operators order about objects at the provider that no resource claims: that one is removed, or given to a resource.
-- A removal is queued in `work` under the uid of its order. The release before knows no orders: it finds no resource of that
-- uid, and leaves the order to this one.
CREATE TABLE orphan_orders (
    project TEXT NOT NULL,
    object_type TEXT NOT NULL,
    object_id TEXT NOT NULL,
    uid TEXT NOT NULL UNIQUE,
    -- The object, as a sweep saw it.
    object TEXT NOT NULL,
    -- The resource that is to have it; none: it is to be removed.
    into_uid TEXT,
    -- What the last try came to.
    told TEXT,
    refused INTEGER NOT NULL,
    ordered_at INTEGER NOT NULL,
    PRIMARY KEY (project, object_type, object_id)
) STRICT;
