"""Metrics of in-context editing, of sounds and of captions, all on free-running answers.

What a sample's ``provenance`` may hold for them. Media are named by their content keys; those that stand in the
conversation are found there, others through the metric's ``dataset``, a data set with a method ``media(key)``.

============== =========================================== ==================================================
key            value                                       if it is not there
============== =========================================== ==================================================
``family``     kind of operation, such as ``tone``         no values by family
``k``          number of example pairs in the prompt       no values by k
``source``     key of the prompt media that is changed     last prompt media of the target's modality
``examples``   pairs of keys ``((A, A'), ...)``            read off a prompt of exactly 2k + 1 media
``candidates`` keys (or media) to choose the answer among  the sample is left out of ``retrieval``
``words``      attribute -> word, as {"tone": "dark"}      attributes are found by the metric's patterns
============== =========================================== ==================================================

Samples with equal ``split``, ``query``, ``subjects``, ``family``, ``operation``, ``source`` and ``target`` count as one
query asked in several ways, for sign tests. A data set named by ``retrieval`` may list what belongs to the full gallery
(``gallery(modality)``), also in the state of a target (``gallery(modality, state=s)`` with ``s = state(key)``).
"""
