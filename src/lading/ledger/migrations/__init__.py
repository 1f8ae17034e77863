"""The schema of the ledger, step by step. Run by ``lading.ledger.migrate``, never by hand."""
