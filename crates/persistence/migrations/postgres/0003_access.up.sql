-- Who may do what, and since when. The release before works on this schema as well: it knows none of these tables, and
-- triggers keep them right whatever statement writes a role, an assignment or a workspace. For rows of other kinds a
-- trigger costs a look at the kind; what the engine notes about a role (its state, not its specification) is no change.
--
-- A write raises the version of every tenant in which it may change a decision, in its own transaction, so that who
-- knows a version knows all that it stands for. The version of a tenant is `tenants.authorization_version` plus
-- `authorization_epoch.version`, which stands for all tenants, those that are made later included.
--
-- Locks: rows of resources and work, then `authorization_epoch`, then `tenants`. Everybody who raises a version holds
-- the one row of the epoch from the first such act to the end of the transaction, which is at its commit (the triggers
-- are deferred). So raising cannot end in a deadlock however many tenants it concerns, and sees every other write
-- that did; roles are written seldom enough for that.

CREATE TABLE tenants (
    name TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    conformance BIGINT NOT NULL,
    late_references BIGINT NOT NULL,
    suspended BIGINT NOT NULL DEFAULT 0,
    authorization_version BIGINT NOT NULL DEFAULT 1,
    created_at BIGINT NOT NULL
);

CREATE TABLE authorization_epoch (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL
);
INSERT INTO authorization_epoch (id, version) VALUES (1, 0);

-- The other tenants that live assignments open, `*` for all.
CREATE TABLE opened_tenants (
    tenant TEXT COLLATE "C" NOT NULL,
    uid TEXT COLLATE "C" NOT NULL,
    home TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (tenant, uid)
);
CREATE INDEX opened_tenants_uid ON opened_tenants (uid);
CREATE INDEX opened_tenants_home ON opened_tenants (home);

-- The assignments that are scoped to one workspace alone (in one region, or '' for any), and the life of the workspace
-- that they are bound to and end with; none while there is no such workspace, or more than one.
CREATE TABLE bound_assignments (
    uid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    workspace_uid TEXT COLLATE "C",
    workspace_region TEXT COLLATE "C"
);
CREATE INDEX bound_assignments_workspace ON bound_assignments (workspace_uid) WHERE workspace_uid IS NOT NULL;
CREATE INDEX bound_assignments_waiting ON bound_assignments (tenant, workspace) WHERE workspace_uid IS NULL;
CREATE INDEX resources_workspaces ON resources (tenant, name) WHERE kind = 'workspace';

CREATE TABLE denied_tokens (
    jti TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    denied_at BIGINT NOT NULL,
    denied_by TEXT NOT NULL,
    reason TEXT
);

-- Rows that left a while ago; of roles and assignments with what they granted.
CREATE TABLE departures (
    uid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    network TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    deleted_at BIGINT,
    left_at BIGINT NOT NULL,
    spec TEXT,
    workspace_uid TEXT COLLATE "C",
    workspace_region TEXT COLLATE "C"
);
CREATE INDEX departures_key ON departures (tenant, region, kind, workspace, network, name, left_at);
CREATE INDEX departures_left ON departures (left_at);
CREATE INDEX departures_grants ON departures (left_at) WHERE spec IS NOT NULL;

-- Which subjects were made administrators of a tenant by configuration: once, whatever became of it.
CREATE TABLE bootstrapped (
    tenant TEXT COLLATE "C" NOT NULL,
    subject TEXT COLLATE "C" NOT NULL,
    at BIGINT NOT NULL,
    PRIMARY KEY (tenant, subject)
);

-- What was done, by whom. `at` is of the wall clock of whoever tells it, `recorded_at` of the database.
CREATE TABLE activity (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at BIGINT NOT NULL,
    recorded_at BIGINT NOT NULL,
    listener TEXT NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    target TEXT NOT NULL,
    tenant TEXT COLLATE "C",
    request_id TEXT,
    result TEXT NOT NULL,
    detail TEXT
);
CREATE INDEX activity_tenant ON activity (tenant, id);
CREATE INDEX activity_recorded ON activity (recorded_at);

CREATE TABLE paused_workspaces (
    uid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    paused_at BIGINT NOT NULL,
    paused_by TEXT NOT NULL
);

-- -- what assignments say ------------------------------------------------------------------------------------

-- The names in a dimension of a scope.
CREATE FUNCTION scope_names(scope JSON, dimension TEXT) RETURNS TEXT[] LANGUAGE sql IMMUTABLE AS $$
    SELECT ARRAY(SELECT DISTINCT json_array_elements_text(
        CASE json_typeof(scope -> dimension) WHEN 'array' THEN scope -> dimension ELSE '[]'::json END))
$$;

-- A NUL, which PostgreSQL has in no text, is in no name: what holds one may as well hold what no name has either.
CREATE VIEW assignment_scopes AS
    SELECT r.uid, r.tenant, r.deleted_at, scope_names(s.scope, 'tenants') AS tenants,
        scope_names(s.scope, 'regions') AS regions, scope_names(s.scope, 'workspaces') AS workspaces
    FROM resources r
    CROSS JOIN LATERAL (SELECT replace(r.spec, '\u0000', '\u003f')::json -> 'scopes' AS list) l
    CROSS JOIN LATERAL json_array_elements(
        CASE json_typeof(l.list) WHEN 'array' THEN l.list ELSE '[]'::json END) AS s(scope)
    WHERE r.kind = 'role-assignment' AND json_typeof(s.scope) = 'object';

CREATE VIEW assignment_opens AS
    SELECT DISTINCT s.uid, s.tenant AS home, n.tenant FROM assignment_scopes s
    CROSS JOIN LATERAL unnest(s.tenants) AS n(tenant)
    WHERE n.tenant <> s.tenant AND s.deleted_at IS NULL;

CREATE VIEW assignment_targets AS
    SELECT s.uid, s.tenant, min(s.workspaces[1]) AS workspace,
        CASE WHEN bool_or(cardinality(s.regions) = 0) THEN '' ELSE min(s.regions[1]) END AS region
    FROM assignment_scopes s GROUP BY s.uid, s.tenant
    HAVING bool_and(cardinality(s.workspaces) = 1) AND count(DISTINCT s.workspaces[1]) = 1
        AND bool_and(s.tenants <@ ARRAY[s.tenant])
        AND bool_and(cardinality(s.regions) < 2) AND count(DISTINCT s.regions[1]) < 2;

-- -- versions ------------------------------------------------------------------------------------------------

CREATE FUNCTION raise_authorization(names TEXT[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM authorization_epoch FOR UPDATE;
    IF '*' = ANY (names) THEN
        UPDATE authorization_epoch SET version = version + 1;
    ELSE
        UPDATE tenants SET authorization_version = authorization_version + 1 WHERE name = ANY (names);
    END IF;
END
$$;

CREATE FUNCTION access_changed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    changed resources := CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
    names TEXT[];
BEGIN
    -- First, so that the statements behind it see what others opened until now.
    PERFORM 1 FROM authorization_epoch FOR UPDATE;
    IF changed.kind = 'role' THEN
        names := ARRAY(SELECT tenant FROM opened_tenants WHERE home = changed.tenant);
    ELSE
        names := ARRAY(SELECT tenant FROM opened_tenants WHERE uid = changed.uid);
        DELETE FROM opened_tenants WHERE uid = changed.uid;
        INSERT INTO opened_tenants (tenant, uid, home)
            SELECT o.tenant, o.uid, o.home FROM assignment_opens o WHERE o.uid = changed.uid;
        names := names || ARRAY(SELECT tenant FROM opened_tenants WHERE uid = changed.uid);
    END IF;
    PERFORM raise_authorization(names || changed.tenant);
    RETURN NULL;
END
$$;

CREATE CONSTRAINT TRIGGER access_made AFTER INSERT ON resources DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.kind IN ('role', 'role-assignment')) EXECUTE FUNCTION access_changed();
CREATE CONSTRAINT TRIGGER access_changed AFTER UPDATE OF spec, deleted_at ON resources DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (NEW.kind IN ('role', 'role-assignment')
        AND (NEW.spec IS DISTINCT FROM OLD.spec OR NEW.deleted_at IS DISTINCT FROM OLD.deleted_at))
    EXECUTE FUNCTION access_changed();
CREATE CONSTRAINT TRIGGER access_ended AFTER DELETE ON resources DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.kind IN ('role', 'role-assignment')) EXECUTE FUNCTION access_changed();

CREATE FUNCTION assignment_bound() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM raise_authorization(ARRAY[NEW.tenant]);
    RETURN NULL;
END
$$;

-- An assignment that had waited for its workspace.
CREATE CONSTRAINT TRIGGER assignment_bound AFTER UPDATE OF workspace_uid ON bound_assignments
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION assignment_bound();

-- -- bindings ------------------------------------------------------------------------------------------------

-- An assignment and a workspace that are made at once do not see each other, so that both lock the name: assignments
-- against each other and against workspaces, workspaces against assignments alone.
CREATE FUNCTION workspace_name_lock(tenant TEXT, workspace TEXT) RETURNS BIGINT LANGUAGE sql IMMUTABLE AS $$
    SELECT hashtextextended(tenant || '/' || workspace, 0)
$$;

-- The workspace is locked against leaving; who leaves locks itself first, then what is bound to it. What stays bound to
-- the same must not ask for that lock: it would wait for who waits for it.
CREATE FUNCTION bind_assignment() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    former bound_assignments;
    wanted assignment_targets;
    uids TEXT[];
    regions TEXT[];
BEGIN
    SELECT * INTO former FROM bound_assignments b WHERE b.uid = NEW.uid;
    SELECT * INTO wanted FROM assignment_targets t WHERE t.uid = NEW.uid;
    IF former.workspace_uid IS NOT NULL
        AND (former.workspace, former.region) = (wanted.workspace, wanted.region) THEN
        RETURN NULL;
    END IF;
    PERFORM pg_advisory_xact_lock(l.name) FROM (
        SELECT DISTINCT workspace_name_lock(NEW.tenant, w.name) AS name
        FROM unnest(ARRAY[former.workspace, wanted.workspace]) AS w(name) WHERE w.name IS NOT NULL ORDER BY 1) l;
    DELETE FROM bound_assignments b WHERE b.uid = NEW.uid;
    IF wanted.workspace IS NULL THEN
        RETURN NULL;
    END IF;
    SELECT array_agg(w.uid), array_agg(w.region) INTO uids, regions FROM (
        SELECT r.uid, r.region FROM resources r WHERE r.kind = 'workspace' AND r.tenant = NEW.tenant
        AND r.name = wanted.workspace AND (wanted.region = '' OR r.region = wanted.region)
        ORDER BY r.uid FOR KEY SHARE) w;
    INSERT INTO bound_assignments (uid, tenant, workspace, region, workspace_uid, workspace_region)
        SELECT NEW.uid, NEW.tenant, wanted.workspace, wanted.region,
            CASE WHEN cardinality(uids) = 1 THEN uids[1] END, CASE WHEN cardinality(uids) = 1 THEN regions[1] END;
    RETURN NULL;
END
$$;

CREATE TRIGGER assignment_made AFTER INSERT ON resources
    FOR EACH ROW WHEN (NEW.kind = 'role-assignment') EXECUTE FUNCTION bind_assignment();
CREATE TRIGGER assignment_changed AFTER UPDATE OF spec ON resources
    FOR EACH ROW WHEN (NEW.kind = 'role-assignment' AND NEW.spec IS DISTINCT FROM OLD.spec)
    EXECUTE FUNCTION bind_assignment();

CREATE FUNCTION bind_waiting() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(workspace_name_lock(NEW.tenant, NEW.name));
    UPDATE bound_assignments b SET workspace_uid = NEW.uid, workspace_region = NEW.region
        WHERE b.tenant = NEW.tenant AND b.workspace = NEW.name AND b.workspace_uid IS NULL
        AND (b.region = NEW.region OR (b.region = '' AND NOT EXISTS (SELECT 1 FROM resources r
            WHERE r.kind = 'workspace' AND r.tenant = NEW.tenant AND r.name = NEW.name AND r.uid <> NEW.uid)));
    RETURN NULL;
END
$$;

CREATE TRIGGER workspace_made AFTER INSERT ON resources
    FOR EACH ROW WHEN (NEW.kind = 'workspace') EXECUTE FUNCTION bind_waiting();

-- -- what leaves ---------------------------------------------------------------------------------------------

CREATE FUNCTION depart() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO departures (uid, tenant, region, kind, workspace, network, name, deleted_at, left_at, spec,
        workspace_uid, workspace_region)
        SELECT OLD.uid, OLD.tenant, OLD.region, OLD.kind, OLD.workspace, OLD.network, OLD.name, OLD.deleted_at,
            (extract(epoch from statement_timestamp()) * 1000)::bigint,
            CASE WHEN OLD.kind IN ('role', 'role-assignment') THEN OLD.spec END, b.workspace_uid, b.workspace_region
        FROM (VALUES (1)) AS one LEFT JOIN bound_assignments b ON b.uid = OLD.uid
        ON CONFLICT DO NOTHING;
    IF OLD.kind = 'role-assignment' THEN
        DELETE FROM bound_assignments WHERE uid = OLD.uid;
    END IF;
    RETURN NULL;
END
$$;

CREATE TRIGGER departs AFTER DELETE ON resources FOR EACH ROW EXECUTE FUNCTION depart();

-- What is bound to a workspace ends with it. All is locked before anything goes, rows before the queue.
CREATE FUNCTION end_bound() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    ended TEXT[];
BEGIN
    DELETE FROM paused_workspaces WHERE uid = OLD.uid;
    PERFORM 1 FROM resources r WHERE r.uid IN (SELECT b.uid FROM bound_assignments b WHERE b.workspace_uid = OLD.uid)
        ORDER BY r.uid FOR UPDATE;
    -- Those that were bound elsewhere while they were waited for are not read again.
    ended := ARRAY(SELECT b.uid FROM bound_assignments b WHERE b.workspace_uid = OLD.uid);
    IF cardinality(ended) = 0 THEN
        RETURN NULL;
    END IF;
    PERFORM 1 FROM work w WHERE w.uid = ANY (ended) ORDER BY w.uid FOR UPDATE;
    INSERT INTO tombstones (uid, removed_at)
        SELECT uid, (extract(epoch from statement_timestamp()) * 1000)::bigint FROM unnest(ended) AS e(uid)
        ON CONFLICT DO NOTHING;
    DELETE FROM work WHERE uid = ANY (ended);
    DELETE FROM resource_labels WHERE uid = ANY (ended);
    DELETE FROM resource_references WHERE uid = ANY (ended);
    DELETE FROM resources WHERE uid = ANY (ended);
    -- Of assignments that left while this workspace was made.
    DELETE FROM bound_assignments WHERE workspace_uid = OLD.uid;
    RETURN NULL;
END
$$;

CREATE TRIGGER workspace_left AFTER DELETE ON resources
    FOR EACH ROW WHEN (OLD.kind = 'workspace') EXECUTE FUNCTION end_bound();

-- -- what was there before -----------------------------------------------------------------------------------

INSERT INTO opened_tenants (tenant, uid, home) SELECT tenant, uid, home FROM assignment_opens;
INSERT INTO bound_assignments (uid, tenant, workspace, region, workspace_uid, workspace_region)
    SELECT t.uid, t.tenant, t.workspace, t.region, CASE WHEN count(r.uid) = 1 THEN min(r.uid) END,
        CASE WHEN count(r.uid) = 1 THEN min(r.region) END
    FROM assignment_targets t LEFT JOIN resources r ON r.kind = 'workspace' AND r.tenant = t.tenant
        AND r.name = t.workspace AND (t.region = '' OR r.region = t.region)
    GROUP BY t.uid, t.tenant, t.workspace, t.region;
