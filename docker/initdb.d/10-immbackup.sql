-- In the database that POSTGRES_DB names: the views and functions for who looks after the backups.
CREATE EXTENSION IF NOT EXISTS immbackup;
