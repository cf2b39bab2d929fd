"""Looking at data before a machine is rented for it: samples as a model will read them, what is wrong, what leaks.

Everything here reads the order of a run (:mod:`anyloom.data.mixture`), so what is seen is what training will see.
"""
