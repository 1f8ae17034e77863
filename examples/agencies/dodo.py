"""The team's jobs, read aloud: doit runs these tasks, `doit list --all` names them."""

from lading.tasks import (
    DOIT_CONFIG,
    task_job,
    task_k8s_job,
)
