-- schema_3.sql - version 3: how sure the choice of a winner is. NULL: not known (a record
-- that is older, or one that a model chose).
--
-- flip_risk: chance that the same final, run again, names another schedule.
-- noisy: share of the final's rounds that were taken in a noisy stretch, also when repeated.
-- drift: time of the default schedule at the end of the final over that at its beginning.

ALTER TABLE winner ADD COLUMN flip_risk REAL;
ALTER TABLE winner ADD COLUMN noisy REAL;
ALTER TABLE winner ADD COLUMN drift REAL;
