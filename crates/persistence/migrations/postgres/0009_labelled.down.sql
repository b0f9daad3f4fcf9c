CREATE INDEX resource_labels_value ON resource_labels (name, value, uid);
DROP INDEX resource_labels_listed;
DROP TRIGGER label_made ON resource_labels;
DROP FUNCTION place_label;
ALTER TABLE resource_labels DROP COLUMN resource;
