//! Runs one call of one integration: a new instance, its limits, and how it ended.
