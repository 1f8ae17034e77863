"""What happened, shown: the page, the report, and the API that takes requests to publish.

Everything shown comes from the ledger; a page changes nothing. Requests become jobs in the
ledger, which worker processes of their own carry out.
"""
