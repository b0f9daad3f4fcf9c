-- A page of the resources that bear a label, read from an index in its order: the index knew their uids alone, so that all
-- of them were looked up and sorted for each page. A label says where its resource is, as `tenant/region/kind/workspace/
-- network/name`: no name holds a slash, and of one place these texts sort as the names do.
--
-- The release before works on this schema as well. It writes no such text, and a trigger adds it.

ALTER TABLE resource_labels ADD COLUMN resource TEXT;
UPDATE resource_labels SET resource = (
    SELECT r.tenant || '/' || r.region || '/' || r.kind || '/' || r.workspace || '/' || r.network || '/' || r.name
    FROM resources r WHERE r.uid = resource_labels.uid);

CREATE TRIGGER label_made AFTER INSERT ON resource_labels WHEN NEW.resource IS NULL BEGIN
    UPDATE resource_labels SET resource = (
        SELECT r.tenant || '/' || r.region || '/' || r.kind || '/' || r.workspace || '/' || r.network || '/' || r.name
        FROM resources r WHERE r.uid = NEW.uid)
    WHERE uid = NEW.uid AND name = NEW.name;
END;

CREATE INDEX resource_labels_listed ON resource_labels (name, value, resource);
DROP INDEX resource_labels_value;
