//! Another program at the database of a gateway.

use anyhow::{Context, Result, ensure};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

/// A database shell in which a transaction is open.
pub struct Shell(std::process::Child);

impl Shell {
    /// Returns when these commands have told something.
    pub fn open(database: &Path, commands: &str) -> Result<Self> {
        let mut command = Command::new("sqlite3");
        let mut child =
            command.arg(database).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let stdin = child.stdin.as_mut().context("standard input is piped")?;
        writeln!(stdin, "{commands}")?;
        stdin.flush()?;
        let mut told = String::new();
        BufReader::new(child.stdout.as_mut().context("standard output is piped")?).read_line(&mut told)?;
        ensure!(!told.trim().is_empty(), "sqlite3 did not do {commands:?}");
        Ok(Self(child))
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// Ends the transaction, and the shell with it.
    pub fn close(mut self) -> Result<()> {
        if let Some(mut stdin) = self.0.stdin.take() {
            writeln!(stdin, "ROLLBACK;\n.quit")?;
        }
        self.0.wait()?;
        Ok(())
    }
}
