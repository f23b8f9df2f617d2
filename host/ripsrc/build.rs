//! Makes the tables that `count` reads without parsing or loading anything: of languages and of licences.

#[path = "build/languages.rs"]
mod languages;
#[path = "build/licenses.rs"]
mod licenses;
#[path = "src/count/words.rs"]
mod words;

use std::path::Path;

fn main() {
    for source in ["build.rs", "build", "src/count/words.rs"] {
        println!("cargo:rerun-if-changed={source}");
    }
    let folder = std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR for every build script");
    languages::write(Path::new(&folder));
    licenses::write(Path::new(&folder));
}

/// Writes a table where the sources include it from.
fn put(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}
