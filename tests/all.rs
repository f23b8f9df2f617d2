//! The one test binary: each module is a subject, and sees what users see. How the house is built is `tidy`.
mod config;
mod contract;
mod tidy;
