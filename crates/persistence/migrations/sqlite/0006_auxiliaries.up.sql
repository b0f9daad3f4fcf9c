-- Who uses the provider's objects that belong to no single resource: SSH keys, placement groups, the firewall that lets
-- nothing through. The first user makes such an object, the last one removes it. The release before knows neither table
-- nor rows, and finds the one such object that it has by its labels.
CREATE TABLE auxiliary_users (
    uid TEXT NOT NULL,
    purpose TEXT NOT NULL,
    -- A hash of what is in it; empty where a project has one alone.
    content TEXT NOT NULL,
    project TEXT NOT NULL,
    PRIMARY KEY (uid, purpose, content)
) STRICT;
CREATE INDEX auxiliary_users_shared ON auxiliary_users (project, purpose, content);
