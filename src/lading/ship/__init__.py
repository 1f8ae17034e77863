"""Manifest to public prefixes: depot, promotion, locks, receipts, proof.

This room moves a release that is described already. It never looks at the build's files but
to send them, and never decides names: those come from ``lading.release``.
"""
