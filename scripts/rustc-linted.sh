#!/bin/sh
# The compiler with clippy's lints, of which none is let pass. Cargo calls it for the packages of this workspace where
# RUSTC_WORKSPACE_WRAPPER names it; the arguments are the compiler and what it is to do.
exec clippy-driver "$@" -D warnings
