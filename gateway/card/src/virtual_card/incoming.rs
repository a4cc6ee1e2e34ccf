//! Command APDUs from the card's side.

/// A short command APDU as it comes in.
pub(super) struct Incoming<'a> {
    pub class: u8,
    pub instruction: u8,
    pub parameters: [u8; 2],
    pub data: &'a [u8],
    /// Bytes wanted in the response, 1 to 256; `None` when the command has no Le.
    pub expected: Option<usize>,
}

impl<'a> Incoming<'a> {
    /// The four cases of ISO 7816-3; `None` when the lengths contradict each other. Extended lengths are not offered.
    pub fn parse(command: &'a [u8]) -> Option<Self> {
        let (&[class, instruction, p1, p2], body) = command.split_first_chunk::<4>()?;
        let (data, expected): (&[u8], Option<u8>) = match body {
            [] => (&[], None),
            [le] => (&[], Some(*le)),
            [0, ..] => return None,
            [lc, rest @ ..] => match rest.split_at_checked(usize::from(*lc))? {
                (data, []) => (data, None),
                (data, [le]) => (data, Some(*le)),
                _ => return None,
            },
        };
        let expected = expected.map(|le| if le == 0 { 256 } else { usize::from(le) });
        Some(Self { class, instruction, parameters: [p1, p2], data, expected })
    }
}
