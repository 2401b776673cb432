"""What can happen to the catalog and what may not.

Pure: no I/O, and no clock but the library's stamp.
"""
