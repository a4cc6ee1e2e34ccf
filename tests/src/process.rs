//! A program under test: started, listened to until it says that it is ready, and ended by its own process id.
//!
//! Promises:
//! * its output goes to a file, whole, whatever happens to the test;
//! * dropping the guard ends the process: SIGTERM, and SIGKILL after a grace period;
//! * no other process is ever signalled: the child is reaped by this guard alone, so its id cannot have been reused.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

/// How long a process may take to end after SIGTERM when its guard is dropped.
const GRACE: Duration = Duration::from_secs(5);
/// How often an end is looked for; a child gives no other notice that works without `unsafe`.
const POLL: Duration = Duration::from_millis(5);

/// A running child process.
#[derive(Debug)]
pub struct Child {
    child: std::process::Child,
    output: PathBuf,
    lines: Receiver<Value>,
}

impl Child {
    /// Starts `command`. Its standard output and error are appended to `output`; standard input is empty.
    pub fn spawn(mut command: Command, output: impl Into<PathBuf>) -> Result<Self> {
        let output = output.into();
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&output)
                .with_context(|| format!("opening {}", output.display()))
        };
        let (log, errors) = (open()?, open()?);
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(errors)
            .spawn()
            .with_context(|| format!("starting {:?}", command.get_program()))?;
        let stdout = child.stdout.take().context("the child's standard output is piped, yet missing")?;
        let (sender, lines) = mpsc::channel();
        std::thread::Builder::new()
            .name("child output".to_owned())
            .spawn(move || copy(BufReader::new(stdout), log, &sender))
            .context("starting the thread that reads the child's output")?;
        Ok(Self { child, output, lines })
    }

    /// The first line of standard output that is a JSON object. An error names the output file: when the process
    /// ends before, or says nothing within `timeout`.
    pub fn wait_ready(&self, timeout: Duration) -> Result<Value> {
        self.lines.recv_timeout(timeout).map_err(|error| {
            let what = match error {
                mpsc::RecvTimeoutError::Timeout => format!("said nothing within {timeout:?}"),
                mpsc::RecvTimeoutError::Disconnected => "ended before it was ready".to_owned(),
            };
            let output = std::fs::read_to_string(&self.output).unwrap_or_default();
            anyhow!("the process {} {what}; its output in {}:\n{output}", self.pid(), self.output.display())
        })
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file with everything the process has written.
    pub fn output(&self) -> &Path {
        &self.output
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends SIGTERM and returns at once.
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Stops it where it is (SIGSTOP): its peers see a machine that went silent.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on after [`Child::freeze`].
    pub fn thaw(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Sends any signal.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if !self.is_running() {
            bail!("the process {} has ended", self.pid());
        }
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).context("the child has no valid id")?;
        kill_process(pid, signal).with_context(|| format!("signalling the process {}", self.pid()))
    }

    /// Ends it without warning (SIGKILL) and waits for its end.
    pub fn kill9(&mut self) -> Result<ExitStatus> {
        self.child.kill().context("killing the child")?;
        self.child.wait().context("waiting for the killed child")
    }

    /// Waits for its end.
    pub fn wait(&mut self, timeout: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(status) = self.child.try_wait().context("waiting for the child")? {
                return Ok(status);
            }
            if Instant::now() >= deadline {
                bail!("the process {} still runs after {timeout:?}", self.pid());
            }
            std::thread::sleep(POLL);
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // Thawed first: a stopped process does not hear SIGTERM.
        let _ = self.thaw();
        if self.terminate().is_ok() && self.wait(GRACE).is_ok() {
            return;
        }
        let _ = self.kill9();
    }
}

/// Copies the child's output to its file and reports each line that is a JSON object.
fn copy(stdout: impl BufRead, mut log: File, objects: &mpsc::Sender<Value>) {
    for line in stdout.split(b'\n').map_while(Result::ok) {
        let _ = log.write_all(&[line.as_slice(), b"\n"].concat());
        if let Ok(object @ Value::Object(_)) = serde_json::from_slice(&line) {
            let _ = objects.send(object);
        }
    }
}
