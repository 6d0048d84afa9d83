"""Duban killed with -9, again and again, while it is worked on by every door; and what must then be true of its database.

    machines   the processes that are killed: server, worker, an import on the command line, PostgreSQL
    doors      who works meanwhile: pushes, batches, files by the page and by the command line, growing upstreams
    ledger     what each of them was told, which the next run on the same database goes on with
    truth      what must be true of the database
    series     so many kills in turn

``python -m tests.integration.killing FOLDER --kills N`` runs more of them than the test suite has time for.
"""
