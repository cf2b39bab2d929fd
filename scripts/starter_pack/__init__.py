"""Steps of building the starter pack; ``build_starter_pack.py`` runs them in order."""
