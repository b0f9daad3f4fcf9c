DROP TRIGGER parent_removed;
DROP TRIGGER child_removed;
DROP TRIGGER child_left;
DROP TRIGGER child_made;
DROP TABLE child_counts;
