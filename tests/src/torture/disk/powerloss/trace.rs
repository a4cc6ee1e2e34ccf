//! Reads what `strace -f -y -xx` recorded of a process: which bytes it wrote, what it made durable, and what it promised, in order.

use anyhow::{Context, Result, bail};
use std::collections::HashMap;
use std::io::BufRead;

/// System calls that change files, and how to have each byte of them recorded.
pub(super) const STRACE: [&str; 7] = [
    "-f",
    "-y",
    "-xx",
    "-s",
    "16777216",
    "-e",
    "trace=openat,creat,pwrite64,pwritev,pwritev2,write,writev,ftruncate,truncate,fallocate,fsync,fdatasync,sync_file_range,rename,\
     renameat,renameat2,link,linkat,unlink,unlinkat,msync,copy_file_range,sendfile",
];

/// Something that the process did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A file was opened that is made if there is none, and emptied if so asked.
    Create { path: String, empty: bool },
    /// Bytes are on their way to a file; without a place, to its end.
    Write { path: String, at: Option<u64>, bytes: Vec<u8> },
    /// A file got another length.
    Resize { path: String, len: u64 },
    /// A file has another name.
    Rename { from: String, to: String },
    /// A name is gone.
    Unlink { path: String },
    /// What was written to a file or folder before this is being made durable, by this call.
    SyncBegins { call: usize, path: String },
    /// This call has done so.
    SyncDone { call: usize },
    /// Text for whoever started the process.
    Told(Vec<u8>),
}

/// Every event, in the order in which it began; syncs when they began and when they were done.
pub(super) fn read(lines: impl BufRead) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut under_way: HashMap<String, (String, Option<usize>)> = HashMap::new();
    for (number, line) in lines.lines().enumerate() {
        let line = line.context("reading the trace")?;
        one(&line, number, &mut under_way, &mut events).with_context(|| format!("line {} of the trace", number + 1))?;
    }
    Ok(events)
}

/// One line: a whole call, or one of its halves when another thread came between.
fn one(
    line: &str,
    number: usize,
    under_way: &mut HashMap<String, (String, Option<usize>)>,
    events: &mut Vec<Event>,
) -> Result<()> {
    let Some((thread, call)) = line.split_once(' ') else { return Ok(()) };
    let call = call.trim_start();
    if let Some(begun) = call.strip_suffix(" <unfinished ...>") {
        let synced = before(begun, number, events)?;
        under_way.insert(thread.to_owned(), (begun.to_owned(), synced));
    } else if let Some(rest) = call.strip_prefix("<... ") {
        let Some((_, rest)) = rest.split_once(" resumed>") else { return Ok(()) };
        if let Some((begun, synced)) = under_way.remove(thread) {
            after(&format!("{begun}{rest}"), synced, events)?;
        }
    } else if call.contains('(') && !call.starts_with("---") {
        let synced = before(call, number, events)?;
        after(call, synced, events)?;
    }
    Ok(())
}

/// What has an effect, or may have, from the moment a call begins.
fn before(call: &str, number: usize, events: &mut Vec<Event>) -> Result<Option<usize>> {
    let (name, arguments) = call.split_once('(').context("no call")?;
    let mut arguments = Arguments(arguments);
    match name {
        "write" | "pwrite64" => {
            let (fd, path) = arguments.file()?;
            let bytes = arguments.bytes()?;
            let at = if name == "pwrite64" { Some(arguments.after_number()?) } else { None };
            events.push(if fd == 1 { Event::Told(bytes) } else { Event::Write { path, at, bytes } });
        }
        "ftruncate" => events.push(Event::Resize { path: arguments.file()?.1, len: arguments.number()? }),
        "fsync" | "fdatasync" => {
            events.push(Event::SyncBegins { call: number, path: arguments.file()?.1 });
            return Ok(Some(number));
        }
        "openat" | "rename" | "unlink" | "link" | "linkat" => {}
        // Nothing here uses them; a model that overlooks one would prove nothing.
        other if call.contains("= 0") || !call.contains("= -1") => bail!("the model does not know {other}"),
        _ => {}
    }
    Ok(None)
}

/// What has happened once a call has returned, and had no error.
fn after(call: &str, synced: Option<usize>, events: &mut Vec<Event>) -> Result<()> {
    if call.contains(") = -1 ") || call.ends_with(") = ?") {
        return Ok(());
    }
    if let Some(call) = synced {
        events.push(Event::SyncDone { call });
        return Ok(());
    }
    let (name, arguments) = call.split_once('(').context("no call")?;
    let mut arguments = Arguments(arguments);
    match name {
        "openat" if call.contains("O_CREAT") => {
            arguments.skip()?;
            events.push(Event::Create { path: arguments.text()?, empty: call.contains("O_TRUNC") });
        }
        "rename" => events.push(Event::Rename { from: arguments.text()?, to: arguments.text()? }),
        "unlink" => events.push(Event::Unlink { path: arguments.text()? }),
        _ => {}
    }
    Ok(())
}

/// What is left of the arguments of a call.
struct Arguments<'a>(&'a str);

impl Arguments<'_> {
    /// `12<path>`
    fn file(&mut self) -> Result<(u32, String)> {
        let (fd, rest) = self.0.split_once('<').context("no file")?;
        let (path, rest) = rest.split_once('>').context("no end of a file's name")?;
        let rest = rest.strip_prefix("(deleted)").unwrap_or(rest);
        self.0 = rest.strip_prefix(", ").unwrap_or(rest);
        Ok((fd.parse().context("not a number of a file")?, String::from_utf8(unescape(path)?)?))
    }

    /// The folder that a name is relative to; every name here is absolute.
    fn skip(&mut self) -> Result<()> {
        self.0 = self.0.split_once(">, ").context("no folder")?.1;
        Ok(())
    }

    fn bytes(&mut self) -> Result<Vec<u8>> {
        let (text, rest) = self.0.strip_prefix('"').and_then(|rest| rest.split_once('"')).context("no bytes")?;
        if rest.starts_with("...") {
            bail!("bytes are cut short");
        }
        self.0 = rest.strip_prefix(", ").unwrap_or(rest);
        unescape(text)
    }

    fn text(&mut self) -> Result<String> {
        String::from_utf8(self.bytes()?).context("not text")
    }

    fn number(&mut self) -> Result<u64> {
        let end = self.0.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.0.len());
        let number = self.0[..end].parse().context("not a number")?;
        self.0 = self.0[end..].strip_prefix(", ").unwrap_or(&self.0[end..]);
        Ok(number)
    }

    /// The number after the next one.
    fn after_number(&mut self) -> Result<u64> {
        self.number()?;
        self.number()
    }
}

/// `\x2f\x77` to bytes.
fn unescape(text: &str) -> Result<Vec<u8>> {
    let digit = |at: usize| (text.as_bytes()[at] as char).to_digit(16).context("not a hex digit");
    let mut bytes = Vec::with_capacity(text.len() / 4);
    let mut at = 0;
    while at < text.len() {
        if at + 4 > text.len() || text.as_bytes()[at..at + 2] != *b"\\x" {
            bail!("a byte that is not in hex");
        }
        bytes.push((digit(at + 2)? << 4 | digit(at + 3)?) as u8);
        at += 4;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_that_another_thread_interrupts_is_a_sync_from_beginning_to_end() {
        let trace = r#"7 openat(AT_FDCWD<\x2f>, "\x2f\x61", O_RDWR|O_CREAT|O_CLOEXEC, 0600) = 5<\x2f\x61>
7 pwrite64(5<\x2f\x61>, "\x00\xff", 2, 4096) = 2
7 fdatasync(5<\x2f\x61> <unfinished ...>
8 write(1<\x70\x69\x70\x65>, "\x68\x69", 2) = 2
7 <... fdatasync resumed>)        = 0
8 rename("\x2f\x61", "\x2f\x62") = 0
8 unlink("\x2f\x63") = -1 ENOENT (No such file or directory)
8 fsync(5<\x2f\x62>) = -1 EIO (Input/output error)
+++ exited with 0 +++
"#;
        let file = || "/a".to_owned();
        let expected = [
            Event::Create { path: file(), empty: false },
            Event::Write { path: file(), at: Some(4096), bytes: vec![0, 255] },
            Event::SyncBegins { call: 2, path: file() },
            Event::Told(b"hi".to_vec()),
            Event::SyncDone { call: 2 },
            Event::Rename { from: file(), to: "/b".into() },
            Event::SyncBegins { call: 7, path: "/b".into() },
        ];
        assert_eq!(read(trace.as_bytes()).unwrap(), expected);
    }

    #[test]
    fn what_the_model_does_not_know_is_an_error() {
        assert!(read(r#"7 copy_file_range(5<\x2f\x61>, NULL, 6<\x2f\x62>, NULL, 9, 0) = 9"#.as_bytes()).is_err());
        assert!(read(r#"7 pwrite64(5<\x2f\x61>, "\x00"..., 4096, 0) = 4096"#.as_bytes()).is_err());
    }
}
