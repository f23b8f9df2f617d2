//! GraphQL v4, as far as it is modelled: a query is read (`simulator::graphql`), priced (`cost`) and answered (`execute`) from the types
//! in `types`.

pub mod cost;
pub mod execute;
mod types;
