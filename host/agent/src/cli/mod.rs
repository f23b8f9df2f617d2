//! One file for each subcommand; prints; decides nothing.
