"""Datasets, runs and sources by URL: a URL stands for a working copy in the cache.

`copies` says what a URL of a command means here, brings it up to date and sends it back; `stored` is a folder in a
bucket (`listing` says what it holds, `transfer` moves its bytes), `mirrors` what is only read from one; `remote` alone
speaks with a server, and imports fsspec when it does.
"""
