"""Evaluation suites: which samples, which metrics, which tables, to be run on any model.

A suite is a recipe with a section ``suite`` (:class:`anyloom.evaluation.suite.Suite`), so a plugin offers
one through the recipes hook. ``anyloom evaluate MODEL --suite NAME`` runs it; NAME may be a file of one's own::

    suite:
      title: Edits of my pictures
      data: {datasets: {own: {name: conversations, test: my.jsonl}}}
      metrics: {feature: {name: feature-error}}
      tables:
        - title: Error
          rows: {all edits: edit}
          columns: {model: "feature/{}/error", copying the input: "feature/{}/error_copying"}
"""
