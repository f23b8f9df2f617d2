//! GraphQL v4, as far as it is modelled: a query is read (`parse`), priced (`cost`) and answered (`execute`) from the types
//! in `types`.

pub mod cost;
pub mod execute;
pub mod parse;
mod types;
