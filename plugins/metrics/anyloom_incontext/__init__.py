"""Metrics of in-context editing, of sounds and of captions, all on free-running answers.

What a sample's ``provenance`` may hold for them; everything but ``candidates`` and ``words`` has a default:

============== =============================================== ==============================================
key            value                                           default
============== =============================================== ==============================================
``family``     kind of operation, such as ``tone``             ``""``
``k``          number of example pairs in the prompt           ``-1``, not reported
``input``      the media item that is to be changed            last prompt media of the target's modality
``examples``   pairs ``((A, A'), ...)`` of media               read off the prompt where it has exactly 2k + 1
``candidates`` media to choose the answer among, with the      the sample is left out of ``retrieval``
               target and the input; or a function without
               arguments that returns them
``words``      attribute -> word, such as {"tone": "dark"}     the attribute is not counted
============== =============================================== ==============================================

Media are compared by their content ``key``, so candidates must have keys; they are opened and encoded once per key.
"""
