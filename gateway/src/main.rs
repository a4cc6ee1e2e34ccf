//! The `uketsuke` command.

fn main() -> std::process::ExitCode {
    uketsuke::cli::main()
}
