DROP INDEX resource_labels_value;
DROP INDEX resources_deleting;
DROP INDEX resources_live;
