-- Everything that a client asked for, and what became of it. Times are milliseconds: of the wall clock in
-- resources, of the database everywhere else. Maps, specifications and observations are JSON as text, so that
-- what was received is what is answered.

CREATE TABLE resources (
    uid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    tenant TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    network TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    labels TEXT,
    annotations TEXT,
    extensions TEXT,
    spec TEXT NOT NULL,
    status TEXT NOT NULL,
    state TEXT NOT NULL,
    conditions TEXT NOT NULL,
    resource_version BIGINT NOT NULL,
    generation BIGINT NOT NULL,
    observed_generation BIGINT NOT NULL,
    revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    last_modified_at BIGINT NOT NULL,
    deleted_at BIGINT,
    facts TEXT NOT NULL,
    holder TEXT COLLATE "C",
    action_kind TEXT,
    action_seq BIGINT NOT NULL,
    action_done_seq BIGINT NOT NULL,
    CONSTRAINT resources_key UNIQUE (tenant, region, kind, workspace, network, name)
) WITH (fillfactor = 80);
-- Children of a workspace or of a network, of all kinds.
CREATE INDEX resources_children ON resources (tenant, region, workspace, network, kind);
CREATE INDEX resources_project ON resources (project);
CREATE INDEX resources_holder ON resources (holder) WHERE holder IS NOT NULL;

-- The queue: narrow, so that what happens often does not rewrite wide rows. No next_run_at: until woken.
CREATE TABLE work (
    uid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    next_run_at BIGINT,
    attempts BIGINT NOT NULL,
    wakes BIGINT NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX work_due ON work (project, next_run_at);

-- For selectors. A number is kept as text that sorts as it compares (see selector.rs).
CREATE TABLE resource_labels (
    uid TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    value TEXT COLLATE "C" NOT NULL,
    number TEXT COLLATE "C",
    PRIMARY KEY (uid, name)
);

-- Who names whom, by the target's key: a reference may precede its target and outlive it.
CREATE TABLE resource_references (
    uid TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    field TEXT NOT NULL,
    strict BIGINT NOT NULL,
    tenant TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    kind TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    network TEXT COLLATE "C" NOT NULL,
    name TEXT COLLATE "C" NOT NULL,
    PRIMARY KEY (uid, position)
);
CREATE INDEX resource_references_target ON resource_references (tenant, region, kind, workspace, network, name);

-- Provider projects and who may work on them. A token never falls: it fences the writes of former holders.
CREATE TABLE projects (
    uid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    owner TEXT,
    token BIGINT NOT NULL,
    until BIGINT
);
INSERT INTO projects (uid, owner, token, until) VALUES ('local', NULL, 0, NULL);

-- The log of intended provider calls; outlives the resource by its retention.
CREATE TABLE steps (
    id BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    uid TEXT COLLATE "C" NOT NULL,
    project TEXT COLLATE "C" NOT NULL,
    generation BIGINT NOT NULL,
    operation TEXT NOT NULL,
    target TEXT NOT NULL,
    step TEXT NOT NULL,
    state TEXT NOT NULL,
    action TEXT,
    error TEXT,
    -- From when on a late effect is counted: the intent, then the moment its answer was found missing.
    since BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);
CREATE INDEX steps_uid ON steps (uid);

-- Identities that once had a row: the sweep tells its own leftovers from what it must not touch.
CREATE TABLE tombstones (
    uid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    removed_at BIGINT NOT NULL
);

-- Sealed provider tokens, by the life of their workspace. With deleted_at the token is gone and the row says that
-- it was removed on purpose.
CREATE TABLE credentials (
    workspace_uid TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    project TEXT COLLATE "C" NOT NULL,
    sealed TEXT NOT NULL,
    endpoint TEXT,
    project_ref TEXT,
    bound_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX credentials_project ON credentials (project);

-- Regions, SKUs and system images as last read from the provider: one document, replaced as a whole.
CREATE TABLE catalog (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    version BIGINT NOT NULL,
    entries TEXT NOT NULL
);
INSERT INTO catalog (id, version, entries) VALUES (1, 0, '[]');

-- What the sweep of a project found that no row claims.
CREATE TABLE orphans (
    project TEXT COLLATE "C" NOT NULL,
    position BIGINT NOT NULL,
    object TEXT NOT NULL,
    PRIMARY KEY (project, position)
);

-- Marks what is ours at the provider. Made once; a database is not copied into a second installation.
CREATE TABLE installation (
    id TEXT NOT NULL PRIMARY KEY
);
INSERT INTO installation (id) VALUES (replace(gen_random_uuid()::text, '-', ''));
