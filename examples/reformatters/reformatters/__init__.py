"""Weather datasets that are kept up to date: what the CronJobs run, and what they are."""
