"""From bronze to silver: dirty text files become typed, partitioned Parquet, by a declared schema.

Columnar work belongs to a columnar engine: nothing here touches rows one by one.
"""
