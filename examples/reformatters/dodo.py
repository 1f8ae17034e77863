"""The datasets' CronJobs, read aloud: doit runs these tasks, `doit list` names them."""

from lading.tasks import (
    DOIT_CONFIG,
    task_k8s_check,
    task_k8s_render,
    task_k8s_staging,
    task_k8s_deploy,
    task_k8s_cleanup,
    task_k8s_status,
)
