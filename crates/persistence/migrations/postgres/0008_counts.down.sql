CREATE INDEX resources_live ON resources (tenant, region, workspace, network) WHERE deleted_at IS NULL;
CREATE INDEX resources_children ON resources (tenant, region, workspace, network, kind);
DROP INDEX resources_within;
DROP TRIGGER parent_removed ON resources;
DROP TRIGGER child_removed ON resources;
DROP TRIGGER child_left ON resources;
DROP TRIGGER child_made ON resources;
DROP FUNCTION forget_counts, count_left, count_made, add_children;
DROP TABLE child_counts;
