"""The command line: one command, ``arnold``, with verbs. The top floor: it may import every other."""
