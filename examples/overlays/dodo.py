"""Publish a version of the maps: the road read aloud.

doit publish version=v1 environment=dev
"""

from lading.tasks import (
    DOIT_CONFIG,
    task_access,
    task_fetch,
    task_check,
    task_compress_sqlite,
    task_zip_parquet,
    task_build,
    task_doi,
    task_manifest,
    task_upload,
    task_promote,
    task_hold,
    task_git_merge,
    task_zenodo,
    task_cloud_run,
    task_mark_published,
    task_notify,
    task_distribute,
    task_publish,
    task_plan,
    task_verify,
    task_rollback,
    task_prune,
    task_unlock,
)
