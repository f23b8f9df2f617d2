//! The binary itself. That this test is in this package makes `cargo test` build the binary, which the package `tests`
//! then drives; what the binary does is tested there.

use std::process::Command;

#[test]
fn the_binary_says_its_version() {
    let output = Command::new(env!("CARGO_BIN_EXE_agent")).arg("--version").output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && said.contains(env!("CARGO_PKG_VERSION")), "{said}");
}
