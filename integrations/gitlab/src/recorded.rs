//! Tests against what others wrote.
