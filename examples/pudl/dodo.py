"""A release, read aloud: doit runs these tasks, `doit list` names them."""

from lading.tasks import (
    DOIT_CONFIG,
    task_access,
    task_fetch,
    task_check,
    task_compress_sqlite,
    task_zip_parquet,
    task_manifest,
    task_upload,
    task_promote,
    task_hold,
    task_distribute,
    task_plan,
    task_verify,
    task_rollback,
    task_prune,
    task_unlock,
    task_staging_cleanup,
)
