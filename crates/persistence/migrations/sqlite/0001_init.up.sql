-- Everything that a client asked for, and what became of it. Times are milliseconds: of the wall clock in
-- resources, of the database everywhere else. Maps, specifications and observations are JSON as text, so that
-- what was received is what is answered.

CREATE TABLE resources (
    uid TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    region TEXT NOT NULL,
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    network TEXT NOT NULL,
    name TEXT NOT NULL,
    project TEXT NOT NULL,
    labels TEXT,
    annotations TEXT,
    extensions TEXT,
    spec TEXT NOT NULL,
    status TEXT NOT NULL,
    state TEXT NOT NULL,
    conditions TEXT NOT NULL,
    resource_version INTEGER NOT NULL,
    generation INTEGER NOT NULL,
    observed_generation INTEGER NOT NULL,
    revision INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    last_modified_at INTEGER NOT NULL,
    deleted_at INTEGER,
    facts TEXT NOT NULL,
    holder TEXT,
    action_kind TEXT,
    action_seq INTEGER NOT NULL,
    action_done_seq INTEGER NOT NULL,
    CONSTRAINT resources_key UNIQUE (tenant, region, kind, workspace, network, name)
) STRICT;
-- Children of a workspace or of a network, of all kinds.
CREATE INDEX resources_children ON resources (tenant, region, workspace, network, kind);
CREATE INDEX resources_project ON resources (project);
CREATE INDEX resources_holder ON resources (holder) WHERE holder IS NOT NULL;

-- The queue: narrow, so that what happens often does not rewrite wide rows. No next_run_at: until woken.
CREATE TABLE work (
    uid TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    next_run_at INTEGER,
    attempts INTEGER NOT NULL,
    wakes INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX work_due ON work (project, next_run_at);

-- For selectors. A number is kept as text that sorts as it compares (see selector.rs).
CREATE TABLE resource_labels (
    uid TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    number TEXT,
    PRIMARY KEY (uid, name)
) STRICT, WITHOUT ROWID;

-- Who names whom, by the target's key: a reference may precede its target and outlive it.
CREATE TABLE resource_references (
    uid TEXT NOT NULL,
    position INTEGER NOT NULL,
    field TEXT NOT NULL,
    strict INTEGER NOT NULL,
    tenant TEXT NOT NULL,
    region TEXT NOT NULL,
    kind TEXT NOT NULL,
    workspace TEXT NOT NULL,
    network TEXT NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (uid, position)
) STRICT, WITHOUT ROWID;
CREATE INDEX resource_references_target ON resource_references (tenant, region, kind, workspace, network, name);

-- Provider projects and who may work on them. A token never falls: it fences the writes of former holders.
CREATE TABLE projects (
    uid TEXT NOT NULL PRIMARY KEY,
    owner TEXT,
    token INTEGER NOT NULL,
    until INTEGER
) STRICT, WITHOUT ROWID;
INSERT INTO projects (uid, owner, token, until) VALUES ('local', NULL, 0, NULL);

-- The log of intended provider calls; outlives the resource by its retention.
CREATE TABLE steps (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    uid TEXT NOT NULL,
    project TEXT NOT NULL,
    generation INTEGER NOT NULL,
    operation TEXT NOT NULL,
    target TEXT NOT NULL,
    step TEXT NOT NULL,
    state TEXT NOT NULL,
    action TEXT,
    error TEXT,
    -- From when on a late effect is counted: the intent, then the moment its answer was found missing.
    since INTEGER NOT NULL,
    updated_at INTEGER NOT NULL
) STRICT;
CREATE INDEX steps_uid ON steps (uid);

-- Identities that once had a row: the sweep tells its own leftovers from what it must not touch.
CREATE TABLE tombstones (
    uid TEXT NOT NULL PRIMARY KEY,
    removed_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sealed provider tokens, by the life of their workspace. With deleted_at the token is gone and the row says that
-- it was removed on purpose.
CREATE TABLE credentials (
    workspace_uid TEXT NOT NULL PRIMARY KEY,
    project TEXT NOT NULL,
    sealed TEXT NOT NULL,
    endpoint TEXT,
    project_ref TEXT,
    bound_at INTEGER NOT NULL,
    deleted_at INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX credentials_project ON credentials (project);

-- Regions, SKUs and system images as last read from the provider: one document, replaced as a whole.
CREATE TABLE catalog (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    version INTEGER NOT NULL,
    entries TEXT NOT NULL
) STRICT;
INSERT INTO catalog (id, version, entries) VALUES (1, 0, '[]');

-- What the sweep of a project found that no row claims.
CREATE TABLE orphans (
    project TEXT NOT NULL,
    position INTEGER NOT NULL,
    object TEXT NOT NULL,
    PRIMARY KEY (project, position)
) STRICT, WITHOUT ROWID;

-- Marks what is ours at the provider. Made once; a database is not copied into a second installation.
CREATE TABLE installation (
    id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
INSERT INTO installation (id) VALUES (lower(hex(randomblob(16))));
