//! The `uketsuke` command.
fn main() {}
