"""Projectors for editing: what goes in is compared with what came before, what comes out is a change of it."""
