ALTER TABLE projects DROP COLUMN budget_at;
ALTER TABLE projects DROP COLUMN budget;
