//! Store for PostgreSQL and SQLite, with embedded migrations and one suite that every store passes.
