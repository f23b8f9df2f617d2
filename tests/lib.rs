//! Nothing yet: the test binary is `all.rs`. What several subjects share would stand here.
