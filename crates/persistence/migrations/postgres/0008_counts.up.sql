-- How many live resources are in a workspace, kept instead of counted: GET and LIST of workspaces show it, and counting
-- ten thousand rows took a millisecond each time. The release before works on this schema as well: it counts, and
-- triggers keep the number right whatever statement writes.
--
-- A number that each creation in a workspace raises would make them wait for each other until their commits. So it has
-- parts, and what is shown is their sum: who changes it takes a part that nobody holds, and begins one where all are held.
-- So there are no more than ever were needed at once, and nobody waits.

CREATE TABLE child_counts (
    tenant TEXT COLLATE "C" NOT NULL,
    region TEXT COLLATE "C" NOT NULL,
    workspace TEXT COLLATE "C" NOT NULL,
    part BIGINT NOT NULL,
    live BIGINT NOT NULL,
    PRIMARY KEY (tenant, region, workspace, part)
) WITH (fillfactor = 50);

CREATE FUNCTION add_children(of_tenant TEXT, of_region TEXT, of_workspace TEXT, change BIGINT) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    UPDATE child_counts c SET live = c.live + change
        WHERE c.tenant = of_tenant AND c.region = of_region AND c.workspace = of_workspace
        AND c.part = (SELECT f.part FROM child_counts f WHERE f.tenant = of_tenant AND f.region = of_region
            AND f.workspace = of_workspace LIMIT 1 FOR UPDATE SKIP LOCKED);
    IF NOT FOUND THEN
        INSERT INTO child_counts AS c (tenant, region, workspace, part, live)
            VALUES (of_tenant, of_region, of_workspace, floor(random() * 9007199254740992)::bigint, change)
            ON CONFLICT (tenant, region, workspace, part) DO UPDATE SET live = c.live + excluded.live;
    END IF;
END
$$;

-- By the end of the statement: many rows that it makes are added at once.
CREATE FUNCTION count_made() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    place RECORD;
BEGIN
    FOR place IN SELECT m.tenant, m.region, m.workspace, count(*) AS live FROM made m
        WHERE m.workspace <> '' AND m.deleted_at IS NULL GROUP BY m.tenant, m.region, m.workspace LOOP
        PERFORM add_children(place.tenant, place.region, place.workspace, place.live);
    END LOOP;
    RETURN NULL;
END
$$;
CREATE TRIGGER child_made AFTER INSERT ON resources REFERENCING NEW TABLE AS made
    FOR EACH STATEMENT EXECUTE FUNCTION count_made();

CREATE FUNCTION count_left() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM add_children(OLD.tenant, OLD.region, OLD.workspace,
        CASE WHEN TG_OP = 'UPDATE' AND OLD.deleted_at IS NOT NULL THEN 1 ELSE -1 END);
    RETURN NULL;
END
$$;
CREATE TRIGGER child_left AFTER UPDATE OF deleted_at ON resources
    FOR EACH ROW WHEN (OLD.workspace <> '' AND (NEW.deleted_at IS NULL) <> (OLD.deleted_at IS NULL))
    EXECUTE FUNCTION count_left();
CREATE TRIGGER child_removed AFTER DELETE ON resources
    FOR EACH ROW WHEN (OLD.workspace <> '' AND OLD.deleted_at IS NULL) EXECUTE FUNCTION count_left();

-- At the commit: until then nobody can make the workspace again.
CREATE FUNCTION forget_counts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM child_counts c WHERE c.tenant = OLD.tenant AND c.region = OLD.region AND c.workspace = OLD.name
        AND 0 = (SELECT sum(a.live) FROM child_counts a
            WHERE a.tenant = OLD.tenant AND a.region = OLD.region AND a.workspace = OLD.name);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER parent_removed AFTER DELETE ON resources DEFERRABLE INITIALLY DEFERRED
    FOR EACH ROW WHEN (OLD.kind = 'workspace') EXECUTE FUNCTION forget_counts();

-- What was there before. Nobody writes until this is committed: a trigger that is made locks the table.
INSERT INTO child_counts (tenant, region, workspace, part, live)
    SELECT tenant, region, workspace, 0, count(*) FROM resources WHERE workspace <> '' AND deleted_at IS NULL
    GROUP BY tenant, region, workspace;

-- Who is in a workspace, of whatever kind. The index before had the columns of the key but for the name: by the statistics
-- of an empty table it fits a lookup of a key as well as the key's own does, and that walked through all siblings. The
-- release before finds the same rows without it, by the tenant and the region, in a while instead of at once. The index
-- of those that live served the counts.
CREATE INDEX resources_within ON resources ((tenant || '/' || region || '/' || workspace), network);
DROP INDEX resources_children;
DROP INDEX resources_live;
