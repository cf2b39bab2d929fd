"""Evaluation suites: the tables of CoDi-2's paper and their neighbours, on published data sets."""
