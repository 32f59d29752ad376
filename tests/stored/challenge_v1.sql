-- The rows of a challenge by the tables of revision v1, for SQLite and PostgreSQL. A later version must open them.
-- The secret of team 1 is 'a-secret-of-the-first-version'. Submissions 2 and 3 were scored again by other targets.
UPDATE state SET deadline = 2209028400000, extra_attempts = 1, revision = 2;
INSERT INTO teams (name, alias, token_hash, created_at, extra_attempts, deadline, disqualified) VALUES
  ('Kepler', 'the stars', '{hash}', 1800000000000, 2, 2209032000000, NULL),
  ('Noether', NULL, 'x', 1800000000001, 0, NULL, NULL),
  ('Gauss', NULL, 'x', 1800000000002, 0, NULL, 'two accounts');
INSERT INTO organisers (name, token_hash) VALUES ('Ada', 'x');
INSERT INTO submissions (team_id, at, sha256, size) VALUES
  (1, 1800000001000, 'a', 1000), (1, 1800000002000, 'b', 1000), (2, 1800000003000, 'c', 1000);
INSERT INTO revisions (id, at, who, reason, targets) VALUES (2, 1800000004000, 'Ada', 'swapped', 'targets.npz');
INSERT INTO scores (submission_id, revision, rmse, mean, ratio, shown_rmse, shown_mean, shown_ratio) VALUES
  (1, 1, 9.5, 9.25, 0.5, 9.0, 8.75, 0.475), (1, 2, 8.5, 8.25, 0.4, 8.0, 7.75, 0.375),
  (2, 1, 3.5, 3.25, 0.3, 3.0, 2.75, 0.275), (2, 2, 7.5, 7.25, 0.35, 7.0, 6.75, 0.325),
  (3, 1, 6.5, 6.25, 0.3, 6.0, 5.75, 0.275), (3, 2, 4.5, 4.25, 0.2, 4.0, 3.75, 0.175);
INSERT INTO rejections (team_id, at, sha256, reason) VALUES (1, 1800000000500, 'd', 'damaged');
INSERT INTO events (at, who, action, team_id, detail, told) VALUES
  (1800000000000, 'Ada', 'added', 1, '', FALSE), (1800000005000, 'Ada', 'message', NULL, 'Well done.', TRUE);
