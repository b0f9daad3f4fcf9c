-- What a project's row says beyond its lease. The release before works on this schema as well: it leaves all of it as it is.
--
-- How long its lease lasts, in milliseconds. That counts for the lease with this token alone: the release before takes
-- leases and writes neither.
ALTER TABLE projects ADD COLUMN lease_ttl BIGINT;
ALTER TABLE projects ADD COLUMN lease_ttl_token BIGINT;
-- The version of the engine that last took its lease; none: 0.
ALTER TABLE projects ADD COLUMN engine_version BIGINT;
-- Its epoch, which the marker in the provider's project bears too, and the one that is about to become it. None: number 0
-- and an empty nonce. And when it was last raised.
ALTER TABLE projects ADD COLUMN epoch BIGINT;
ALTER TABLE projects ADD COLUMN epoch_nonce TEXT;
ALTER TABLE projects ADD COLUMN wanted_epoch BIGINT;
ALTER TABLE projects ADD COLUMN wanted_nonce TEXT;
ALTER TABLE projects ADD COLUMN epoch_raised_at BIGINT;
-- Why nothing is done in it: another database rules it.
ALTER TABLE projects ADD COLUMN paused TEXT;
-- Since when it is declared gone for good.
ALTER TABLE projects ADD COLUMN abandoned_at BIGINT;

-- Since when a credential has outlived its workspace, for what of the tenant lives in the project and in no workspace;
-- and what its token is sealed for, because the workspace's row is gone. The release before does not see such rows.
ALTER TABLE credentials ADD COLUMN retired_at BIGINT;
ALTER TABLE credentials ADD COLUMN tenant TEXT COLLATE "C";
ALTER TABLE credentials ADD COLUMN region TEXT COLLATE "C";
ALTER TABLE credentials ADD COLUMN workspace TEXT COLLATE "C";

-- ANALYZE looks at a sample of the rows. One that meets no rare kind makes the planner believe that there is one kind
-- alone, and a lookup of a few siblings reads the whole table. So the number of kinds is told.
ALTER TABLE resources ALTER COLUMN kind SET (n_distinct = 14);
