-- A page of the resources that bear a label, read from an index in its order: the index knew their uids alone, so that all
-- of them were looked up and sorted for each page. A label says where its resource is, as `tenant/region/kind/workspace/
-- network/name`: no name holds a slash, and of one place these texts sort as the names do.
--
-- The release before works on this schema as well. It writes no such text, and a trigger adds it at the commit, when the
-- resource is there whatever order it was written in.

ALTER TABLE resource_labels ADD COLUMN resource TEXT COLLATE "C";
UPDATE resource_labels l SET resource = concat_ws('/', r.tenant, r.region, r.kind, r.workspace, r.network, r.name)
    FROM resources r WHERE r.uid = l.uid;

CREATE FUNCTION place_label() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    UPDATE resource_labels l SET resource = concat_ws('/', r.tenant, r.region, r.kind, r.workspace, r.network, r.name)
        FROM resources r WHERE l.uid = NEW.uid AND l.name = NEW.name AND r.uid = NEW.uid;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER label_made AFTER INSERT ON resource_labels DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.resource IS NULL) EXECUTE FUNCTION place_label();

CREATE INDEX resource_labels_listed ON resource_labels (name, value, resource) INCLUDE (uid);
DROP INDEX resource_labels_value;
