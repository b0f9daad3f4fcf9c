-- What the holder of a project's lease knew of the provider's request budget, and when. The release before works on
-- this schema as well: it leaves both as they are.
ALTER TABLE projects ADD COLUMN budget TEXT;
ALTER TABLE projects ADD COLUMN budget_at INTEGER;
