CREATE TABLE lading_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT lading_version_pkc PRIMARY KEY (version_num)
);

CREATE TABLE projects (
	id INTEGER NOT NULL, 
	slug TEXT NOT NULL, 
	title TEXT DEFAULT '' NOT NULL, 
	created_at TEXT NOT NULL, 
	CONSTRAINT pk_projects PRIMARY KEY (id), 
	CONSTRAINT uq_projects_slug UNIQUE (slug)
);

CREATE TABLE tokens (
	id INTEGER NOT NULL, 
	name TEXT NOT NULL, 
	role TEXT NOT NULL, 
	digest BLOB NOT NULL, 
	created_at TEXT NOT NULL, 
	expires_at TEXT, 
	revoked_at TEXT, 
	CONSTRAINT pk_tokens PRIMARY KEY (id), 
	CONSTRAINT uq_tokens_name UNIQUE (name)
);

CREATE TABLE versions (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	version TEXT NOT NULL, 
	state TEXT NOT NULL, 
	detail TEXT DEFAULT '' NOT NULL, 
	changed_at TEXT NOT NULL, 
	CONSTRAINT pk_versions PRIMARY KEY (id), 
	CONSTRAINT uq_versions_project_id_version UNIQUE (project_id, version), 
	CONSTRAINT fk_versions_project_id FOREIGN KEY(project_id) REFERENCES projects (id)
);

CREATE TABLE runs (
	id TEXT NOT NULL, 
	project_id INTEGER NOT NULL, 
	kind TEXT NOT NULL, 
	channel TEXT DEFAULT '' NOT NULL, 
	tag TEXT DEFAULT '' NOT NULL, 
	environment TEXT DEFAULT '' NOT NULL, 
	is_release BOOLEAN DEFAULT false NOT NULL, 
	state TEXT NOT NULL, 
	exit_code INTEGER, 
	failed_at TEXT DEFAULT '' NOT NULL, 
	error TEXT DEFAULT '' NOT NULL, 
	command TEXT DEFAULT '' NOT NULL, 
	attempt INTEGER DEFAULT '1' NOT NULL, 
	percent FLOAT DEFAULT '0' NOT NULL, 
	done_bytes BIGINT DEFAULT '0' NOT NULL, 
	size_bytes BIGINT DEFAULT '0' NOT NULL, 
	done_files BIGINT DEFAULT '0' NOT NULL, 
	files BIGINT DEFAULT '0' NOT NULL, 
	rate_bytes_s FLOAT DEFAULT '0' NOT NULL, 
	left_s FLOAT, 
	created_at TEXT NOT NULL, 
	started_at TEXT, 
	ended_at TEXT, 
	heartbeat_at TEXT, 
	owner TEXT DEFAULT '' NOT NULL, 
	process TEXT DEFAULT '' NOT NULL, 
	tool_version TEXT DEFAULT '' NOT NULL, 
	commit_id TEXT DEFAULT '' NOT NULL, 
	config_sha256 TEXT DEFAULT '' NOT NULL, 
	ci_url TEXT DEFAULT '' NOT NULL, 
	manifest_sha256 TEXT DEFAULT '' NOT NULL, 
	doi TEXT DEFAULT '' NOT NULL, 
	is_job BOOLEAN DEFAULT false NOT NULL, 
	requested_by TEXT DEFAULT '' NOT NULL, 
	idempotency_key TEXT, 
	request_sha256 TEXT DEFAULT '' NOT NULL, 
	retry_of TEXT, 
	claim TEXT, 
	claimed_at TEXT, 
	cancel_requested_at TEXT, 
	result JSON, 
	CONSTRAINT pk_runs PRIMARY KEY (id), 
	CONSTRAINT uq_runs_idempotency_key UNIQUE (idempotency_key), 
	CONSTRAINT uq_runs_retry_of UNIQUE (retry_of), 
	CONSTRAINT fk_runs_project_id FOREIGN KEY(project_id) REFERENCES projects (id), 
	CONSTRAINT fk_runs_retry_of FOREIGN KEY(retry_of) REFERENCES runs (id)
);

CREATE UNIQUE INDEX uq_runs_one_publish_at_a_time ON runs (project_id, environment) WHERE state = 'running' AND is_job;

CREATE INDEX ix_runs_created_at ON runs (created_at);

CREATE INDEX ix_runs_project_id_created_at ON runs (project_id, created_at);

CREATE INDEX ix_runs_state_created_at ON runs (state, created_at);

CREATE TABLE manifests (
	sha256 TEXT NOT NULL, 
	project_id INTEGER NOT NULL, 
	channel TEXT NOT NULL, 
	tag TEXT NOT NULL, 
	files BIGINT DEFAULT '0' NOT NULL, 
	size_bytes BIGINT DEFAULT '0' NOT NULL, 
	CONSTRAINT pk_manifests PRIMARY KEY (sha256), 
	CONSTRAINT fk_manifests_project_id FOREIGN KEY(project_id) REFERENCES projects (id)
);

CREATE TABLE steps (
	id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	attempt INTEGER DEFAULT '1' NOT NULL, 
	position INTEGER NOT NULL, 
	task TEXT NOT NULL, 
	state TEXT NOT NULL, 
	detail TEXT DEFAULT '' NOT NULL, 
	started_at TEXT, 
	ended_at TEXT, 
	percent FLOAT DEFAULT '0' NOT NULL, 
	done_bytes BIGINT DEFAULT '0' NOT NULL, 
	size_bytes BIGINT DEFAULT '0' NOT NULL, 
	done_files BIGINT DEFAULT '0' NOT NULL, 
	files BIGINT DEFAULT '0' NOT NULL, 
	rate_bytes_s FLOAT DEFAULT '0' NOT NULL, 
	left_s FLOAT, 
	CONSTRAINT pk_steps PRIMARY KEY (id), 
	CONSTRAINT uq_steps_run_id_attempt_task UNIQUE (run_id, attempt, task), 
	CONSTRAINT fk_steps_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE TABLE targets (
	id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	task TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	destination TEXT DEFAULT '' NOT NULL, 
	name TEXT DEFAULT '' NOT NULL, 
	planned_files BIGINT DEFAULT '0' NOT NULL, 
	planned_bytes BIGINT DEFAULT '0' NOT NULL, 
	state TEXT NOT NULL, 
	verified_at TEXT, 
	url TEXT DEFAULT '' NOT NULL, 
	note TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_targets PRIMARY KEY (id), 
	CONSTRAINT uq_targets_run_id_task UNIQUE (run_id, task), 
	CONSTRAINT fk_targets_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE TABLE events (
	id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	attempt INTEGER DEFAULT '1' NOT NULL, 
	at TEXT NOT NULL, 
	kind TEXT NOT NULL, 
	task TEXT DEFAULT '' NOT NULL, 
	percent FLOAT DEFAULT '0' NOT NULL, 
	done_bytes BIGINT DEFAULT '0' NOT NULL, 
	size_bytes BIGINT DEFAULT '0' NOT NULL, 
	done_files BIGINT DEFAULT '0' NOT NULL, 
	files BIGINT DEFAULT '0' NOT NULL, 
	note TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_events PRIMARY KEY (id), 
	CONSTRAINT fk_events_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE INDEX ix_events_run_id_id ON events (run_id, id);

CREATE TABLE logs (
	id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	at TEXT NOT NULL, 
	level INTEGER NOT NULL, 
	task TEXT DEFAULT '' NOT NULL, 
	text TEXT NOT NULL, 
	CONSTRAINT pk_logs PRIMARY KEY (id), 
	CONSTRAINT fk_logs_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE INDEX ix_logs_run_id_id ON logs (run_id, id);

CREATE TABLE receipts (
	id INTEGER NOT NULL, 
	run_id TEXT NOT NULL, 
	task TEXT NOT NULL, 
	place TEXT DEFAULT '' NOT NULL, 
	manifest_sha256 TEXT DEFAULT '' NOT NULL, 
	proved_at TEXT NOT NULL, 
	objects BIGINT DEFAULT '0' NOT NULL, 
	size_bytes BIGINT DEFAULT '0' NOT NULL, 
	facts JSON NOT NULL, 
	CONSTRAINT pk_receipts PRIMARY KEY (id), 
	CONSTRAINT uq_receipts_run_id_task UNIQUE (run_id, task), 
	CONSTRAINT fk_receipts_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE TABLE artifacts (
	id INTEGER NOT NULL, 
	manifest_sha256 TEXT NOT NULL, 
	position INTEGER NOT NULL, 
	"key" TEXT NOT NULL, 
	size_bytes BIGINT DEFAULT '0' NOT NULL, 
	sha256 TEXT NOT NULL, 
	media_type TEXT DEFAULT '' NOT NULL, 
	kind TEXT DEFAULT 'file' NOT NULL, 
	role TEXT DEFAULT '' NOT NULL, 
	url TEXT DEFAULT '' NOT NULL, 
	rows JSON NOT NULL, 
	CONSTRAINT pk_artifacts PRIMARY KEY (id), 
	CONSTRAINT uq_artifacts_manifest_sha256_key UNIQUE (manifest_sha256, "key"), 
	CONSTRAINT fk_artifacts_manifest_sha256 FOREIGN KEY(manifest_sha256) REFERENCES manifests (sha256)
);

CREATE TABLE releases (
	id INTEGER NOT NULL, 
	project_id INTEGER NOT NULL, 
	channel TEXT NOT NULL, 
	tag TEXT NOT NULL, 
	environment TEXT NOT NULL, 
	manifest_sha256 TEXT NOT NULL, 
	published_at TEXT NOT NULL, 
	stands_since TEXT NOT NULL, 
	run_id TEXT NOT NULL, 
	url TEXT DEFAULT '' NOT NULL, 
	files BIGINT DEFAULT '0' NOT NULL, 
	size_bytes BIGINT DEFAULT '0' NOT NULL, 
	doi TEXT DEFAULT '' NOT NULL, 
	commit_id TEXT DEFAULT '' NOT NULL, 
	CONSTRAINT pk_releases PRIMARY KEY (id), 
	CONSTRAINT uq_releases_project_id_channel_environment_tag_manifest_sha256 UNIQUE (project_id, channel, environment, tag, manifest_sha256), 
	CONSTRAINT fk_releases_project_id FOREIGN KEY(project_id) REFERENCES projects (id), 
	CONSTRAINT fk_releases_manifest_sha256 FOREIGN KEY(manifest_sha256) REFERENCES manifests (sha256), 
	CONSTRAINT fk_releases_run_id FOREIGN KEY(run_id) REFERENCES runs (id)
);

CREATE INDEX ix_releases_project_id_channel_environment_stands_since ON releases (project_id, channel, environment, stands_since);

CREATE INDEX ix_releases_published_at ON releases (published_at);

CREATE VIEW overview AS SELECT projects.slug AS project, ranked_runs.channel, ranked_runs.environment, standing.tag AS standing_tag, standing.published_at, standing.files, standing.size_bytes, ranked_runs.id AS last_run_id, ranked_runs.tag AS last_tag, ranked_runs.state AS last_state, ranked_runs.failed_at AS last_failed_at, ranked_runs.created_at AS last_created_at, ranked_runs.runs 
FROM (SELECT runs.id AS id, runs.project_id AS project_id, runs.kind AS kind, runs.channel AS channel, runs.tag AS tag, runs.environment AS environment, runs.is_release AS is_release, runs.state AS state, runs.exit_code AS exit_code, runs.failed_at AS failed_at, runs.error AS error, runs.command AS command, runs.attempt AS attempt, runs.percent AS percent, runs.done_bytes AS done_bytes, runs.size_bytes AS size_bytes, runs.done_files AS done_files, runs.files AS files, runs.rate_bytes_s AS rate_bytes_s, runs.left_s AS left_s, runs.created_at AS created_at, runs.started_at AS started_at, runs.ended_at AS ended_at, runs.heartbeat_at AS heartbeat_at, runs.owner AS owner, runs.process AS process, runs.tool_version AS tool_version, runs.commit_id AS commit_id, runs.config_sha256 AS config_sha256, runs.ci_url AS ci_url, runs.manifest_sha256 AS manifest_sha256, runs.doi AS doi, runs.is_job AS is_job, runs.requested_by AS requested_by, runs.idempotency_key AS idempotency_key, runs.request_sha256 AS request_sha256, runs.retry_of AS retry_of, runs.claim AS claim, runs.claimed_at AS claimed_at, runs.cancel_requested_at AS cancel_requested_at, runs.result AS result, row_number() OVER (PARTITION BY runs.project_id, runs.channel, runs.environment ORDER BY runs.created_at DESC, runs.id DESC) AS place, count(*) OVER (PARTITION BY runs.project_id, runs.channel, runs.environment) AS runs 
FROM runs) AS ranked_runs JOIN projects ON projects.id = ranked_runs.project_id LEFT OUTER JOIN (SELECT ranked.id AS id, ranked.project_id AS project_id, ranked.channel AS channel, ranked.tag AS tag, ranked.environment AS environment, ranked.manifest_sha256 AS manifest_sha256, ranked.published_at AS published_at, ranked.stands_since AS stands_since, ranked.run_id AS run_id, ranked.url AS url, ranked.files AS files, ranked.size_bytes AS size_bytes, ranked.doi AS doi, ranked.commit_id AS commit_id, ranked.place AS place 
FROM (SELECT releases.id AS id, releases.project_id AS project_id, releases.channel AS channel, releases.tag AS tag, releases.environment AS environment, releases.manifest_sha256 AS manifest_sha256, releases.published_at AS published_at, releases.stands_since AS stands_since, releases.run_id AS run_id, releases.url AS url, releases.files AS files, releases.size_bytes AS size_bytes, releases.doi AS doi, releases.commit_id AS commit_id, row_number() OVER (PARTITION BY releases.project_id, releases.channel, releases.environment ORDER BY releases.stands_since DESC, releases.id DESC) AS place 
FROM releases) AS ranked 
WHERE ranked.place = 1) AS standing ON standing.project_id = ranked_runs.project_id AND standing.channel = ranked_runs.channel AND standing.environment = ranked_runs.environment 
WHERE ranked_runs.place = 1;

CREATE VIEW current_releases AS SELECT projects.slug AS project, standing.channel, standing.environment, standing.tag, standing.published_at, standing.stands_since, standing.files, standing.size_bytes, standing.doi, standing.commit_id, standing.manifest_sha256, standing.url, standing.run_id 
FROM (SELECT ranked.id AS id, ranked.project_id AS project_id, ranked.channel AS channel, ranked.tag AS tag, ranked.environment AS environment, ranked.manifest_sha256 AS manifest_sha256, ranked.published_at AS published_at, ranked.stands_since AS stands_since, ranked.run_id AS run_id, ranked.url AS url, ranked.files AS files, ranked.size_bytes AS size_bytes, ranked.doi AS doi, ranked.commit_id AS commit_id, ranked.place AS place 
FROM (SELECT releases.id AS id, releases.project_id AS project_id, releases.channel AS channel, releases.tag AS tag, releases.environment AS environment, releases.manifest_sha256 AS manifest_sha256, releases.published_at AS published_at, releases.stands_since AS stands_since, releases.run_id AS run_id, releases.url AS url, releases.files AS files, releases.size_bytes AS size_bytes, releases.doi AS doi, releases.commit_id AS commit_id, row_number() OVER (PARTITION BY releases.project_id, releases.channel, releases.environment ORDER BY releases.stands_since DESC, releases.id DESC) AS place 
FROM releases) AS ranked 
WHERE ranked.place = 1) AS standing JOIN projects ON projects.id = standing.project_id;

CREATE VIEW run_timings AS SELECT runs.id AS run_id, projects.slug AS project, runs.channel, runs.tag, runs.environment, runs.kind, runs.state, runs.attempt, runs.created_at, runs.started_at, runs.ended_at, round((julianday(runs.started_at) - julianday(runs.created_at)) * 86400.0, 3) AS waited_s, round((julianday(runs.ended_at) - julianday(runs.started_at)) * 86400.0, 3) AS elapsed_s, (SELECT count(*) AS count_1 
FROM steps 
WHERE steps.run_id = runs.id AND steps.attempt = runs.attempt) AS steps, (SELECT steps.task 
FROM steps 
WHERE steps.run_id = runs.id AND steps.attempt = runs.attempt AND steps.ended_at IS NOT NULL AND steps.started_at IS NOT NULL ORDER BY round((julianday(steps.ended_at) - julianday(steps.started_at)) * 86400.0, 3) DESC, steps.id
 LIMIT 1 OFFSET 0) AS slowest_step, runs.done_bytes 
FROM runs JOIN projects ON projects.id = runs.project_id;

CREATE VIEW step_timings AS SELECT runs.id AS run_id, projects.slug AS project, runs.channel, runs.tag, runs.environment, steps.position, steps.task, steps.state, steps.started_at, steps.ended_at, round((julianday(steps.ended_at) - julianday(steps.started_at)) * 86400.0, 3) AS elapsed_s, steps.done_bytes, steps.done_files, steps.done_bytes / (nullif(round((julianday(steps.ended_at) - julianday(steps.started_at)) * 86400.0, 3), 0) + 0.0) AS bytes_per_s 
FROM steps JOIN runs ON runs.id = steps.run_id AND runs.attempt = steps.attempt JOIN projects ON projects.id = runs.project_id;

CREATE VIEW failed_steps AS SELECT runs.id AS run_id, projects.slug AS project, runs.channel, runs.tag, runs.environment, steps.task, steps.state, steps.ended_at, steps.detail, runs.command 
FROM steps JOIN runs ON runs.id = steps.run_id AND runs.attempt = steps.attempt JOIN projects ON projects.id = runs.project_id 
WHERE steps.state IN ('failed', 'interrupted');

CREATE VIEW stuck_runs AS SELECT runs.id AS run_id, projects.slug AS project, runs.channel, runs.tag, runs.environment, runs.owner, runs.percent, runs.started_at, coalesce(runs.heartbeat_at, runs.started_at, runs.created_at) AS heard_at, round((julianday(strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) - julianday(coalesce(runs.heartbeat_at, runs.started_at, runs.created_at))) * 86400.0, 3) AS silent_s, runs.command 
FROM runs JOIN projects ON projects.id = runs.project_id 
WHERE runs.state = 'running' AND round((julianday(strftime('%Y-%m-%dT%H:%M:%fZ', 'now')) - julianday(coalesce(runs.heartbeat_at, runs.started_at, runs.created_at))) * 86400.0, 3) > 60;

CREATE VIEW target_matrix AS SELECT runs.id AS run_id, projects.slug AS project, runs.channel, runs.tag, runs.environment, targets.position, targets.task, targets.kind, targets.destination, targets.name, targets.state, targets.planned_files, targets.planned_bytes, targets.verified_at, targets.url, targets.note 
FROM targets JOIN runs ON runs.id = targets.run_id JOIN projects ON projects.id = runs.project_id;

CREATE VIEW run_receipts AS SELECT runs.id AS run_id, projects.slug AS project, runs.channel, runs.tag, runs.environment, receipts.task, receipts.place, receipts.proved_at, receipts.objects, receipts.size_bytes, receipts.manifest_sha256, receipts.facts 
FROM receipts JOIN runs ON runs.id = receipts.run_id JOIN projects ON projects.id = runs.project_id;

CREATE VIEW run_artifacts AS SELECT runs.id AS run_id, projects.slug AS project, runs.channel, runs.tag, runs.environment, artifacts."key", artifacts.size_bytes, artifacts.sha256, artifacts.media_type, artifacts.kind, artifacts.role, artifacts.url, runs.manifest_sha256 
FROM runs JOIN projects ON projects.id = runs.project_id JOIN artifacts ON artifacts.manifest_sha256 = runs.manifest_sha256;

CREATE VIEW table_history AS SELECT projects.slug AS project, releases.channel, releases.environment, releases.tag, releases.published_at, artifacts."key" AS file, counted."key" AS table_name, CAST(counted.value AS BIGINT) AS rows, CAST(counted.value AS BIGINT) - lag(CAST(counted.value AS BIGINT)) OVER (PARTITION BY releases.project_id, releases.channel, releases.environment, artifacts."key", counted."key" ORDER BY releases.published_at, releases.id) AS change, artifacts.size_bytes AS file_size_bytes, releases.run_id 
FROM releases JOIN projects ON projects.id = releases.project_id JOIN artifacts ON artifacts.manifest_sha256 = releases.manifest_sha256 JOIN json_each(artifacts.rows) AS counted ON 1 = 1;

CREATE VIEW log_tail AS SELECT newest.id AS number, newest.at, CASE WHEN (newest.level >= 50) THEN 'critical' WHEN (newest.level >= 40) THEN 'error' WHEN (newest.level >= 30) THEN 'warning' WHEN (newest.level >= 20) THEN 'info' ELSE 'debug' END AS level, newest.task, newest.text, runs.id AS run_id, projects.slug AS project, runs.channel, runs.tag, runs.environment 
FROM (SELECT logs.id AS id, logs.run_id AS run_id, logs.at AS at, logs.level AS level, logs.task AS task, logs.text AS text 
FROM logs ORDER BY logs.id DESC
 LIMIT 1000 OFFSET 0) AS newest JOIN runs ON runs.id = newest.run_id JOIN projects ON projects.id = runs.project_id;

INSERT INTO lading_version VALUES ('0002');

