-- What people say of an alert after it was acknowledged, a JSON object each.
ALTER TABLE alerts ADD COLUMN comments TEXT NOT NULL DEFAULT '[]';
