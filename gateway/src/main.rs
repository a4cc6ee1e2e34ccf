//! The `uketsuke` command.

/// Thousands of rows and messages a second are allocated on one thread and freed on another: the system's allocator spends a tenth of the
/// processor on that.
#[global_allocator]
static MEMORY: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    // Before anything else, for without a handler SIGHUP ends the process.
    uketsuke::reload::survive_early_hang_ups();
    uketsuke::cli::main()
}
