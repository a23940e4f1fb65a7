//! Fuzz targets of every parser, as functions; their corpora replay in the tests.
