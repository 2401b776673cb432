"""What can happen to the catalog and what may not. Pure: no I/O, no clock but the library's stamp."""
