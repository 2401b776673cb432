"""Catalogs that others keep, and files that anybody writes, as drafts."""
