"""Evaluation suites: which samples, which metrics, which tables, to be run on any model.

A suite is a recipe with a section ``variables.suite`` (:class:`anyloom.evaluation.suite.Suite`), so a plugin offers
one through the recipes hook. ``anyloom evaluate MODEL --suite NAME`` runs it.
"""
