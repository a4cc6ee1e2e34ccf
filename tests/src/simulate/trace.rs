//! What happened, as a hash of everything and, when asked for, as the last lines of text.

use std::collections::VecDeque;

/// Lines that are kept.
const LINES: usize = 40;

#[derive(Debug)]
pub(super) struct Trace {
    hash: u64,
    lines: Option<VecDeque<String>>,
}

impl Trace {
    pub(super) fn new(traced: bool) -> Self {
        // FNV-1a, 64 bit.
        Self { hash: 0xcbf2_9ce4_8422_2325, lines: traced.then(VecDeque::new) }
    }

    /// Notes what happened: `code` and `detail` for the hash, the text for people.
    pub(super) fn note(&mut self, at_ms: u64, code: u64, detail: u64, text: impl FnOnce() -> String) {
        for word in [at_ms, code, detail] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        if let Some(lines) = &mut self.lines {
            if lines.len() == LINES {
                lines.pop_front();
            }
            lines.push_back(format!("{:>9.3} s  {}", at_ms as f64 / 1000.0, text()));
        }
    }

    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default().into()
    }
}
