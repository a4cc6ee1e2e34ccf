//! What a command says. The only place of the command line that writes to standard output.

use std::fmt;
use std::io::{self, ErrorKind, Write};

/// One line on standard output, as `println!` says it.
macro_rules! say {
    () => { $crate::cli::out::line(format_args!("")) };
    ($($said:tt)*) => { $crate::cli::out::line(format_args!($($said)*)) };
}
pub(super) use say;

/// Writes a line. A reader that has gone (`uketsuke rules | head`) has read enough: the command ends at once and in peace. Where the line
/// cannot be written for another reason, as on a full disk, it ends with an error.
pub(super) fn line(said: fmt::Arguments<'_>) {
    let Err(error) = writeln!(io::stdout().lock(), "{said}") else { return };
    let code = if error.kind() == ErrorKind::BrokenPipe {
        crate::exit::OK
    } else {
        complain(&format_args!("the answer cannot be written: {error}"));
        crate::exit::FAILED
    };
    std::process::exit(i32::from(code));
}

/// Writes a line that a gateway says in passing: it goes on, whether anybody listens or not.
pub(super) fn mention(said: &dyn fmt::Display) {
    let _ = writeln!(io::stdout().lock(), "{said}");
}

/// Writes a complaint to standard error, where there may be nobody either.
pub(super) fn complain(what: &dyn fmt::Display) {
    let _ = writeln!(io::stderr().lock(), "uketsuke: {what}");
}
