-- What is read most, straight from an index. Indexes only: the release before works with them as well.

-- The number of live children of a workspace or of a network, without a look at their rows.
CREATE INDEX resources_live ON resources (tenant, region, workspace, network) WHERE deleted_at IS NULL;
-- Lists of what is on its way out: a few among many.
CREATE INDEX resources_deleting ON resources (tenant, region, kind, workspace, network, name)
    WHERE deleted_at IS NOT NULL;
-- Selectors that few resources match.
CREATE INDEX resource_labels_value ON resource_labels (name, value, uid);
