-- When was each artifact last released?
-- depends: 0006_signal_board

-- migrate: apply

ALTER TABLE artifact_listing ADD COLUMN last_release date;

-- migrate: rollback
