"""What changes a home: updates, rollback's rarer kin, deletion, watching a folder."""
