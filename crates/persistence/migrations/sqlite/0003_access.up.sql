-- Who may do what, and since when. The release before works on this schema as well: it knows none of these tables, and
-- triggers keep them right whatever statement writes a role, an assignment or a workspace. For rows of other kinds a
-- trigger costs a look at the kind; what the engine notes about a role (its state, not its specification) is no change.
--
-- A write raises the version of every tenant in which it may change a decision, in its own transaction, so that who
-- knows a version knows all that it stands for. The version of a tenant is `tenants.authorization_version` plus
-- `authorization_epoch.version`, which stands for all tenants, those that are made later included.

CREATE TABLE tenants (
    name TEXT NOT NULL PRIMARY KEY,
    conformance INTEGER NOT NULL,
    late_references INTEGER NOT NULL,
    suspended INTEGER NOT NULL DEFAULT 0,
    authorization_version INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE authorization_epoch (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL
) STRICT;
INSERT INTO authorization_epoch (id, version) VALUES (1, 0);

-- The other tenants that live assignments open, `*` for all.
CREATE TABLE opened_tenants (
    tenant TEXT NOT NULL,
    uid TEXT NOT NULL,
    home TEXT NOT NULL,
    PRIMARY KEY (tenant, uid)
) STRICT, WITHOUT ROWID;
CREATE INDEX opened_tenants_uid ON opened_tenants (uid);
CREATE INDEX opened_tenants_home ON opened_tenants (home);

-- The assignments that are scoped to one workspace alone (in one region, or '' for any), and the life of the workspace
-- that they are bound to and end with; none while there is no such workspace, or more than one.
CREATE TABLE bound_assignments (
    uid TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    workspace TEXT NOT NULL,
    region TEXT NOT NULL,
    workspace_uid TEXT,
    workspace_region TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX bound_assignments_workspace ON bound_assignments (workspace_uid) WHERE workspace_uid IS NOT NULL;
CREATE INDEX bound_assignments_waiting ON bound_assignments (tenant, workspace) WHERE workspace_uid IS NULL;
CREATE INDEX resources_workspaces ON resources (tenant, name) WHERE kind = 'workspace';

CREATE TABLE denied_tokens (
    jti TEXT NOT NULL PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    denied_at INTEGER NOT NULL,
    denied_by TEXT NOT NULL,
    reason TEXT
) STRICT, WITHOUT ROWID;

-- Rows that left a while ago; of roles and assignments with what they granted.
CREATE TABLE departures (
    uid TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    region TEXT NOT NULL,
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    network TEXT NOT NULL,
    name TEXT NOT NULL,
    deleted_at INTEGER,
    left_at INTEGER NOT NULL,
    spec TEXT,
    workspace_uid TEXT,
    workspace_region TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX departures_key ON departures (tenant, region, kind, workspace, network, name, left_at);
CREATE INDEX departures_left ON departures (left_at);
CREATE INDEX departures_grants ON departures (left_at) WHERE spec IS NOT NULL;

-- Which subjects were made administrators of a tenant by configuration: once, whatever became of it.
CREATE TABLE bootstrapped (
    tenant TEXT NOT NULL,
    subject TEXT NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (tenant, subject)
) STRICT, WITHOUT ROWID;

-- What was done, by whom. `at` is of the wall clock of whoever tells it, `recorded_at` of the database.
CREATE TABLE activity (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    recorded_at INTEGER NOT NULL,
    listener TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    tenant TEXT,
    request_id TEXT,
    result TEXT NOT NULL,
    detail TEXT
) STRICT;
CREATE INDEX activity_tenant ON activity (tenant, id);
CREATE INDEX activity_recorded ON activity (recorded_at);

CREATE TABLE paused_workspaces (
    uid TEXT NOT NULL PRIMARY KEY,
    paused_at INTEGER NOT NULL,
    paused_by TEXT NOT NULL
) STRICT, WITHOUT ROWID;

-- -- what assignments say ------------------------------------------------------------------------------------

-- A dimension that is none is no list of names.
CREATE VIEW assignment_scopes AS
    SELECT r.uid, r.tenant, r.deleted_at,
        CASE WHEN s.type = 'object' AND json_type(s.value, '$.tenants') = 'array'
            THEN json_extract(s.value, '$.tenants') ELSE '[]' END AS tenants,
        CASE WHEN s.type = 'object' AND json_type(s.value, '$.regions') = 'array'
            THEN json_extract(s.value, '$.regions') ELSE '[]' END AS regions,
        CASE WHEN s.type = 'object' AND json_type(s.value, '$.workspaces') = 'array'
            THEN json_extract(s.value, '$.workspaces') ELSE '[]' END AS workspaces
    FROM resources r, json_each(r.spec, '$.scopes') s WHERE r.kind = 'role-assignment' AND s.type = 'object';

CREATE VIEW assignment_opens AS
    SELECT DISTINCT s.uid, s.tenant AS home, CAST(n.value AS TEXT) AS tenant
    FROM assignment_scopes s, json_each(s.tenants) n
    WHERE n.value <> s.tenant AND s.deleted_at IS NULL;

CREATE VIEW assignment_targets AS
    SELECT r.uid, r.tenant,
        (SELECT CAST(min(w.value) AS TEXT) FROM assignment_scopes s, json_each(s.workspaces) w
            WHERE s.uid = r.uid) AS workspace,
        CASE WHEN EXISTS (SELECT 1 FROM assignment_scopes s WHERE s.uid = r.uid
            AND NOT EXISTS (SELECT 1 FROM json_each(s.regions))) THEN ''
        ELSE (SELECT CAST(min(g.value) AS TEXT) FROM assignment_scopes s, json_each(s.regions) g
            WHERE s.uid = r.uid) END AS region
    FROM resources r WHERE r.kind = 'role-assignment'
    AND 1 = (SELECT count(DISTINCT w.value) FROM assignment_scopes s, json_each(s.workspaces) w
        WHERE s.uid = r.uid)
    AND 2 > (SELECT count(DISTINCT g.value) FROM assignment_scopes s, json_each(s.regions) g
        WHERE s.uid = r.uid)
    AND NOT EXISTS (SELECT 1 FROM assignment_scopes s WHERE s.uid = r.uid
        AND NOT EXISTS (SELECT 1 FROM json_each(s.workspaces)))
    AND NOT EXISTS (SELECT 1 FROM assignment_scopes s, json_each(s.tenants) n
        WHERE s.uid = r.uid AND n.value <> s.tenant);

-- What an assignment is bound to, as long as nothing is bound yet.
CREATE VIEW assignment_bindings AS
    SELECT t.uid, t.tenant, t.workspace, t.region, CASE count(r.uid) WHEN 1 THEN min(r.uid) END AS workspace_uid,
        CASE count(r.uid) WHEN 1 THEN min(r.region) END AS workspace_region
    FROM assignment_targets t LEFT JOIN resources r ON r.kind = 'workspace' AND r.tenant = t.tenant
        AND r.name = t.workspace AND (t.region = '' OR r.region = t.region)
    GROUP BY t.uid, t.tenant, t.workspace, t.region;

-- -- versions and bindings -----------------------------------------------------------------------------------

CREATE TRIGGER role_made AFTER INSERT ON resources WHEN NEW.kind = 'role' BEGIN
    UPDATE tenants SET authorization_version = authorization_version + 1
        WHERE name = NEW.tenant OR name IN (SELECT tenant FROM opened_tenants WHERE home = NEW.tenant);
    UPDATE authorization_epoch SET version = version + 1
        WHERE EXISTS (SELECT 1 FROM opened_tenants WHERE home = NEW.tenant AND tenant = '*');
END;

CREATE TRIGGER role_changed AFTER UPDATE OF spec, deleted_at ON resources
WHEN NEW.kind = 'role' AND (NEW.spec IS NOT OLD.spec OR NEW.deleted_at IS NOT OLD.deleted_at) BEGIN
    UPDATE tenants SET authorization_version = authorization_version + 1
        WHERE name = NEW.tenant OR name IN (SELECT tenant FROM opened_tenants WHERE home = NEW.tenant);
    UPDATE authorization_epoch SET version = version + 1
        WHERE EXISTS (SELECT 1 FROM opened_tenants WHERE home = NEW.tenant AND tenant = '*');
END;

CREATE TRIGGER assignment_made AFTER INSERT ON resources WHEN NEW.kind = 'role-assignment' BEGIN
    INSERT INTO bound_assignments (uid, tenant, workspace, region, workspace_uid, workspace_region)
        SELECT uid, tenant, workspace, region, workspace_uid, workspace_region FROM assignment_bindings
        WHERE uid = NEW.uid;
    INSERT INTO opened_tenants (tenant, uid, home)
        SELECT tenant, uid, home FROM assignment_opens WHERE uid = NEW.uid;
    UPDATE tenants SET authorization_version = authorization_version + 1
        WHERE name = NEW.tenant OR name IN (SELECT tenant FROM opened_tenants WHERE uid = NEW.uid);
    UPDATE authorization_epoch SET version = version + 1
        WHERE EXISTS (SELECT 1 FROM opened_tenants WHERE uid = NEW.uid AND tenant = '*');
END;

-- What stays bound to the same is left alone.
CREATE TRIGGER assignment_changed AFTER UPDATE OF spec, deleted_at ON resources
WHEN NEW.kind = 'role-assignment' AND (NEW.spec IS NOT OLD.spec OR NEW.deleted_at IS NOT OLD.deleted_at) BEGIN
    DELETE FROM bound_assignments WHERE uid = NEW.uid AND NEW.spec IS NOT OLD.spec
        AND (workspace_uid IS NULL OR NOT EXISTS (SELECT 1 FROM assignment_targets t WHERE t.uid = NEW.uid
            AND t.workspace = bound_assignments.workspace AND t.region = bound_assignments.region));
    INSERT INTO bound_assignments (uid, tenant, workspace, region, workspace_uid, workspace_region)
        SELECT uid, tenant, workspace, region, workspace_uid, workspace_region FROM assignment_bindings
        WHERE uid = NEW.uid AND NEW.spec IS NOT OLD.spec
        AND NOT EXISTS (SELECT 1 FROM bound_assignments b WHERE b.uid = NEW.uid);
    UPDATE tenants SET authorization_version = authorization_version + 1
        WHERE name = NEW.tenant OR name IN (SELECT tenant FROM opened_tenants WHERE uid = NEW.uid);
    UPDATE authorization_epoch SET version = version + 1
        WHERE EXISTS (SELECT 1 FROM opened_tenants WHERE uid = NEW.uid AND tenant = '*');
    DELETE FROM opened_tenants WHERE uid = NEW.uid;
    INSERT INTO opened_tenants (tenant, uid, home)
        SELECT tenant, uid, home FROM assignment_opens WHERE uid = NEW.uid;
    UPDATE tenants SET authorization_version = authorization_version + 1
        WHERE name IN (SELECT tenant FROM opened_tenants WHERE uid = NEW.uid);
    UPDATE authorization_epoch SET version = version + 1
        WHERE EXISTS (SELECT 1 FROM opened_tenants WHERE uid = NEW.uid AND tenant = '*');
END;

CREATE TRIGGER workspace_made AFTER INSERT ON resources WHEN NEW.kind = 'workspace' BEGIN
    UPDATE bound_assignments SET workspace_uid = NEW.uid, workspace_region = NEW.region
        WHERE tenant = NEW.tenant AND workspace = NEW.name AND workspace_uid IS NULL
        AND (region = NEW.region OR (region = '' AND NOT EXISTS (SELECT 1 FROM resources r
            WHERE r.kind = 'workspace' AND r.tenant = NEW.tenant AND r.name = NEW.name AND r.uid <> NEW.uid)));
END;

-- An assignment that had waited for its workspace.
CREATE TRIGGER assignment_bound AFTER UPDATE OF workspace_uid ON bound_assignments BEGIN
    UPDATE tenants SET authorization_version = authorization_version + 1 WHERE name = NEW.tenant;
END;

-- -- what leaves ---------------------------------------------------------------------------------------------

CREATE TRIGGER departs AFTER DELETE ON resources WHEN OLD.kind NOT IN ('role', 'role-assignment') BEGIN
    INSERT INTO departures (uid, tenant, region, kind, workspace, network, name, deleted_at, left_at)
        VALUES (OLD.uid, OLD.tenant, OLD.region, OLD.kind, OLD.workspace, OLD.network, OLD.name, OLD.deleted_at,
            CAST(unixepoch('subsec') * 1000 AS INTEGER))
        ON CONFLICT DO NOTHING;
END;

CREATE TRIGGER role_departs AFTER DELETE ON resources WHEN OLD.kind = 'role' BEGIN
    INSERT INTO departures (uid, tenant, region, kind, workspace, network, name, deleted_at, left_at, spec)
        VALUES (OLD.uid, OLD.tenant, OLD.region, OLD.kind, OLD.workspace, OLD.network, OLD.name, OLD.deleted_at,
            CAST(unixepoch('subsec') * 1000 AS INTEGER), OLD.spec)
        ON CONFLICT DO NOTHING;
    UPDATE tenants SET authorization_version = authorization_version + 1
        WHERE name = OLD.tenant OR name IN (SELECT tenant FROM opened_tenants WHERE home = OLD.tenant);
    UPDATE authorization_epoch SET version = version + 1
        WHERE EXISTS (SELECT 1 FROM opened_tenants WHERE home = OLD.tenant AND tenant = '*');
END;

CREATE TRIGGER assignment_departs AFTER DELETE ON resources WHEN OLD.kind = 'role-assignment' BEGIN
    INSERT INTO departures (uid, tenant, region, kind, workspace, network, name, deleted_at, left_at, spec,
        workspace_uid, workspace_region)
        SELECT OLD.uid, OLD.tenant, OLD.region, OLD.kind, OLD.workspace, OLD.network, OLD.name, OLD.deleted_at,
            CAST(unixepoch('subsec') * 1000 AS INTEGER), OLD.spec, b.workspace_uid, b.workspace_region
        FROM (SELECT 1) LEFT JOIN bound_assignments b ON b.uid = OLD.uid WHERE true
        ON CONFLICT DO NOTHING;
    UPDATE tenants SET authorization_version = authorization_version + 1
        WHERE name = OLD.tenant OR name IN (SELECT tenant FROM opened_tenants WHERE uid = OLD.uid);
    UPDATE authorization_epoch SET version = version + 1
        WHERE EXISTS (SELECT 1 FROM opened_tenants WHERE uid = OLD.uid AND tenant = '*');
    DELETE FROM opened_tenants WHERE uid = OLD.uid;
    DELETE FROM bound_assignments WHERE uid = OLD.uid;
END;

-- What is bound to a workspace ends with it.
CREATE TRIGGER workspace_left AFTER DELETE ON resources WHEN OLD.kind = 'workspace' BEGIN
    DELETE FROM paused_workspaces WHERE uid = OLD.uid;
    INSERT INTO tombstones (uid, removed_at)
        SELECT uid, CAST(unixepoch('subsec') * 1000 AS INTEGER) FROM bound_assignments WHERE workspace_uid = OLD.uid
        ON CONFLICT DO NOTHING;
    DELETE FROM work WHERE uid IN (SELECT uid FROM bound_assignments WHERE workspace_uid = OLD.uid);
    DELETE FROM resource_labels WHERE uid IN (SELECT uid FROM bound_assignments WHERE workspace_uid = OLD.uid);
    DELETE FROM resource_references WHERE uid IN (SELECT uid FROM bound_assignments WHERE workspace_uid = OLD.uid);
    DELETE FROM resources WHERE uid IN (SELECT uid FROM bound_assignments WHERE workspace_uid = OLD.uid);
END;

-- -- what was there before -----------------------------------------------------------------------------------

INSERT INTO opened_tenants (tenant, uid, home) SELECT tenant, uid, home FROM assignment_opens;
INSERT INTO bound_assignments (uid, tenant, workspace, region, workspace_uid, workspace_region)
    SELECT uid, tenant, workspace, region, workspace_uid, workspace_region FROM assignment_bindings;
