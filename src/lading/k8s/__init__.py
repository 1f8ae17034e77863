"""Staged versions of a dataset as CronJobs: names, objects, rollouts, cleanup.

This room decides; the cluster, Sentry and git are reached through protocols, and the services
behind them stand in another room. Nothing live is ever found by recomputing a name.
"""
