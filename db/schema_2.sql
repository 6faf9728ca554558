-- schema_2.sql - version 2: whose code a trial ran, and against what.
--
-- compiler: part of trial.key when it is not empty, so that records of two
-- compilers stand side by side. Empty: no compiler had a say (a schedule that was
-- refused, a prediction), or the record is older than this version.
-- base: key of the trial of the default schedule whose times are in `baseline`;
-- empty when that is not known.

ALTER TABLE trial ADD COLUMN compiler TEXT NOT NULL DEFAULT '';
ALTER TABLE trial ADD COLUMN base TEXT NOT NULL DEFAULT '';
