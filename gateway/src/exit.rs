//! Exit codes, so that a service manager knows what to do.

/// The process ended as asked.
pub const OK: u8 = 0;
/// Something asked for was found wrong (`check`, `models verify`).
pub const FAILED: u8 = 1;
/// Wrong usage or configuration: starting again does not help (EX_USAGE).
pub const CONFIG: u8 = 64;
/// A part of the process gave up (EX_SOFTWARE): starting again may help.
pub const GAVE_UP: u8 = 70;
/// The store cannot acknowledge any more, or cannot be opened (EX_IOERR).
pub const STORE: u8 = 74;
