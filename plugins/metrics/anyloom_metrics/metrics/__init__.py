"""The metrics as components over evaluated samples, with the number of samples, standard errors and flags.

What a sample's ``provenance`` may hold for them:

================== ================================================ ==================================
key                value                                            if it is not there
================== ================================================ ==================================
``family``         kind of operation, such as ``tone``              no values by family
``k``              number of example pairs in the prompt            no values by k
``source``         key of the prompt media that is changed          last prompt media of the modality
``subject``        name of the subject, for standard errors         every sample is its own
``real``           media of the subject, for pairing ``all``        the sample is flagged
``prompt``         text the picture or sound should show            text of the last user message
``caption``        what the input shows, for directional similarity the sample is flagged
``edited_caption`` what the answer should show                      the sample is flagged
``references``     texts that the answer is compared with           text of the target
``answers``        answers of people, for VQA accuracy              the sample is flagged
================== ================================================ ==================================
"""
