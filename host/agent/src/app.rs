//! Builds the parts and joins them; the only file that names them all.
